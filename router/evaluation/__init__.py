"""Judging routers on prompts whose outcomes are known. Needs the packages of `penstock[train]`.

metrics     cost/quality curves and what is read off them: APGR, CPT, shares of strong calls, calibration
splits      which rows a head is trained on and which it is judged on
routers     what is judged: the text head, beside tables of kinds, chance, and one model for all
cascades    cheap first, verified, and the strong model where that fails
judging     a split carried out: `Judgement`
reporting   it as a table and as JSON
plotting    curves as PNG

And on a ledger, where of each request the outcome of one model is known:

draws       scored requests whose model was drawn by lot, and what is known of how many
off_policy  the other model's outcomes estimated, and routers judged by them: `LedgerJudgement`
ledger_reporting  it as tables and as JSON
"""
