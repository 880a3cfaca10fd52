"""Configs in the shapes of those that come with LiteLLM 1.110.2 (`proxy/example_config_yaml`, `proxy/*.yaml`)."""

SECRET = "sk-never-to-be-seen-7f3a"

SHAPES = {
    "one bare model": "model_list:\n  - model_name: gpt-5-mini\n    litellm_params: {model: gpt-5-mini}\n",
    "no params": "model_list:\n  - model_name: gpt-3.5-turbo\nlitellm_settings: {success_callback: [langfuse]}\n",
    "embeddings at azure": f"""
model_list:
  - model_name: text-embedding-3-small
    litellm_params:
      model: azure/our-embedding
      api_base: os.environ/AZURE_API_BASE
      api_key: {SECRET}
      api_version: "2023-07-01-preview"
    model_info: {{mode: embedding, base_model: text-embedding-3-small}}
general_settings: {{background_health_checks: true, health_check_interval: 300}}
""",
    "aliases of ollama": """
model_list:
  - model_name: gpt-4
    litellm_params: {model: ollama/llama2}
  - model_name: gpt-3.5-turbo
    litellm_params: {model: ollama_chat/llama2, temperature: 0.1, max_tokens: 20}
""",
    "several keys": f"""
litellm_settings: {{drop_params: True}}
model_list:
  - &one
    model_name: gpt-4o
    litellm_params: &params
      model: gpt-4o
      api_key: {SECRET}-1
    tpm: 20_000
  - <<: *one
    litellm_params: {{<<: *params, api_key: {SECRET}-2}}
  - model_name: gpt-4o
    litellm_params: {{model: openrouter/openai/gpt-4o}}
environment_variables:
  REDIS_PASSWORD: {SECRET}
""",
    "wildcards": """
model_list:
  - {model_name: "*", litellm_params: {model: "openai/*", api_key: os.environ/OPENAI_API_KEY}}
  - {model_name: "anthropic/*", litellm_params: {model: "anthropic/*", api_key: os.environ/ANTHROPIC_API_KEY}}
  - {model_name: "gemini/*", litellm_params: {model: "gemini/*"}}
  - {model_name: "bedrock/*", litellm_params: {model: "bedrock/*", aws_region_name: us-east-1}}
  - {model_name: "groq/*", litellm_params: {model: "groq/*"}}
general_settings: {master_key: os.environ/LITELLM_MASTER_KEY}
""",
    "clouds": f"""
model_list:
  - model_name: sonnet
    litellm_params:
      {{model: bedrock/us.anthropic.claude-sonnet-4-6-20260101-v1:0, aws_secret_access_key: {SECRET}}}
  - {{model_name: haiku, litellm_params: {{model: vertex_ai/claude-haiku-4-5@20251001, vertex_location: global}}}}
  - {{model_name: nova, litellm_params: {{model: bedrock/us.amazon.nova-unheard-of-v1:0}}}}
mcp_servers:
  wiki: {{command: uvx, args: [{SECRET}]}}
""",
    "fakes": f"""
model_list:
  - model_name: fake
    litellm_params: {{model: openai/fake, api_key: {SECRET}, api_base: https://user:{SECRET}@fake.example.com/?k={SECRET}}}
  - model_name: fake
    litellm_params: {{model: openai/fake, api_key: {SECRET}, api_base: os.environ/FAKE_BASE, tags: [teamA]}}
    model_info: {{id: team-a}}
guardrails:
  - {{guardrail_name: g, litellm_params: {{guardrail: bedrock, api_key: {SECRET}}}}}
router_settings: {{enable_tag_filtering: True}}
""",
    "everything": f"""
model_list:
  - model_name: fast
    litellm_params: {{model: groq/llama-3.3-70b-versatile, api_key: os.environ/GROQ_API_KEY, weight: 3}}
  - model_name: fast
    litellm_params:
      {{model: together_ai/meta-llama/Llama-3.3-70B-Instruct-Turbo, weight: 1, order: 2, rpm: 5}}
  - model_name: cheap
    litellm_params: {{model: deepseek/deepseek-v4-flash, max_tokens: 4000, stream_timeout: 9}}
  - model_name: own
    litellm_params:
      model: hosted_vllm/qwen3-30b
      api_base: http://10.1.2.3:8000/v1
      input_cost_per_token: 1e-7
      output_cost_per_token: 0.0000004
    model_info:
      {{max_input_tokens: 65536, max_output_tokens: 16384, supports_vision: true, supports_response_schema: false}}
  - {{model_name: whisper, litellm_params: {{model: whisper-1}}, model_info: {{mode: audio_transcription}}}}
  - {{model_name: "two words", litellm_params: {{model: gpt-4o}}}}
router_settings:
  routing_strategy: simple-shuffle
  model_group_alias: {{gpt-4: cheap, hidden-one: {{model: fast, hidden: true}}, nowhere: gone}}
  fallbacks: [{{cheap: [fast, gone]}}]
  redis_password: {SECRET}
litellm_settings:
  max_budget: 100
  budget_duration: 30d
  default_key_generate_params: {{max_budget: 5, budget_duration: 10d, rpm_limit: 60, models: [cheap]}}
  cache: true
  cache_params: {{type: redis, ttl: 120, password: {SECRET}}}
  callbacks: [prometheus, langfuse]
  request_timeout: 45
  default_fallbacks: [own]
  a_key_of_tomorrow: {SECRET}
general_settings:
  master_key: {SECRET}
  database_url: postgresql://u:{SECRET}@db/litellm
  max_parallel_requests: 40
  max_request_size_mb: 8
environment_variables: {{GROQ_API_KEY: {SECRET}, OTHER: {SECRET}}}
""",
}
