"""Judging routers on prompts whose outcomes are known. Needs the packages of `penstock[train]`.

metrics     cost/quality curves and what is read off them: APGR, CPT, shares of strong calls, calibration
splits      which rows a head is trained on and which it is judged on
routers     what is judged: the text head, beside tables of kinds, chance, and one model for all
cascades    cheap first, verified, and the strong model where that fails
judging     a split carried out: `Judgement`
reporting   it as a table and as JSON
plotting    it as PNG
must_show   the fixed sets and splits of `make evaluate`, with targets
"""
