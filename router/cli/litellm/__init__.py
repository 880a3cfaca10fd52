"""`penstock import-litellm`: what of a LiteLLM config Penstock can be, and what of it is different or has no equal.

source       the file and what it includes, as plain data within bounds
findings     what became of every key, each told exactly once
known        LiteLLM's keys that become nothing, and what there is instead
providers    LiteLLM's prefixes: who speaks the OpenAI API, and whose models are asked at OpenRouter
accounts     the addresses and keys that deployments need, as providers of penstock.yaml
names        which model of the catalog a name means
prices       what a deployment costs: the config's figure, else genai-prices'
deployments  `model_list` as models and deployments
settings     the other sections as budgets, limits, patience, fallbacks
team         groups and fallbacks as aliases and policies
conversion   all of it together: a pure function of the config and the shipped files
report       the report as a table, as Markdown, as data
importing    what the command does
command      the command

What each is stands in `conversion`; only `source` and `importing` touch files. A secret of the config never leaves the
value that holds it: findings are made of names and figures only.
"""
