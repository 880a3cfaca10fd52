"""How good an answer of a model will be.

cues       the words and signs that give a kind of task away
features   the kind of task of a request
predictor  the probability that a model's answer is good
"""
