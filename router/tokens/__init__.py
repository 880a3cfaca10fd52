"""How many tokens a request is.

vocabulary  the byte-pair vocabularies shipped with the package
slices      long text in pieces that tiktoken counts safely and quickly
images      tokens of a picture, from its size
count       tokens of a request: messages, tools, pictures, response format; prompts without the frame of a chat
"""
