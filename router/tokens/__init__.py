"""How many tokens a request is.

vocabulary  the byte-pair vocabularies shipped with the package
slices      long text in pieces that are counted safely and quickly
memo        how many tokens a slice was, for slices that come again
images      tokens of a picture, from its size
prefix      the beginnings of a prompt as digests, for what is known of prompt caches
count       tokens of a request: messages, tools, pictures, response format; prompts without the frame of a chat
"""
