"""How good an answer of a model will be.

cues       the words and signs that give a kind of task away
difficulty how hard a request looks
features   the kind of task of a request, its language and its difficulty
language   which language a text is written in
predictor  the probability that a model's answer is good
"""
