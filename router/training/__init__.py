"""Making text heads from prompts with outcomes. Needs the packages of `penstock[train]`; no server imports it.

outcomes    prompts and which models were right, from files of JSON lines
pairs       two models of such files side by side: what is trained on and judged by
matrix      the terms of prompts as a sparse matrix
logistic    logistic regression on it
recipe      which rows, targets and penalties make a head: the choices, with what they were worth
quantize    weights of one byte, and the artefact
"""
