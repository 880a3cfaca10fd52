"""How good an answer of a model will be, and whether one that came is what was asked for.

cues        the words and signs that give a kind of task away
language    which language a text is written in
difficulty  how hard a request looks
features    all three of a request
signals     what a trained head tells of its words
labels      what an answer turned out to be worth, and how far who says so can be trusted
text_terms  words, pairs and marks of a prompt, which it is asked with
text_head   the trained head; `heads` has the one that ships
prior       what to expect of a model at an effort before anything was learned: the table, and how it is filled
predictor   the probability that a model's answer is good: the prior, moved by the words and by what was learned
schemas     JSON Schemas from strangers, within bounds; `schema_engine` compiles them, imported only where it is wanted
code        whether the code in an answer parses
sql         the parser of SQL, imported only where it is wanted
javascript  the parser of JavaScript, likewise
agreement   whether two answers come to the same
verify      the checks of an answer
cascade     what a cheap answer that is checked, and a better one where it fails, are worth together
"""
