"""The services that speak OpenAI's chat completions and are known by name: one data row each."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Service:
    """A service that is known by name; it holds no key, only where keys are kept."""

    name: str
    base_url: str
    key_variable: str = ""
    """The environment variable that holds the key."""
    key_page: str = ""
    """Where to get a key."""
    local: bool = False
    """Whether it runs on this machine, and needs no key as it is installed."""
    example: str = ""
    """A model that it has, or may have, for examples that users can run."""
    more_variables: tuple[str, ...] = ()
    """Other variables in which people keep the key."""

    def key(self) -> str:
        """The key that is set in the environment now; empty if there is none."""
        for variable in (self.key_variable, *self.more_variables):
            if variable and (key := os.environ.get(variable, "").strip()):
                return key
        return ""


_ROWS = (
    Service(
        name="openai",
        base_url="https://api.openai.com/v1",
        key_variable="OPENAI_API_KEY",
        key_page="https://platform.openai.com/api-keys",
        example="gpt-5-mini",
    ),
    Service(
        name="anthropic",
        base_url="https://api.anthropic.com/v1",
        key_variable="ANTHROPIC_API_KEY",
        key_page="https://platform.claude.com/settings/keys",
        example="claude-haiku-4-5",
    ),
    Service(
        name="gemini",
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        key_variable="GEMINI_API_KEY",
        key_page="https://aistudio.google.com/apikey",
        example="gemini-2.5-flash",
        more_variables=("GOOGLE_API_KEY",),
    ),
    Service(
        name="mistral",
        base_url="https://api.mistral.ai/v1",
        key_variable="MISTRAL_API_KEY",
        key_page="https://console.mistral.ai/api-keys",
        example="mistral-small-latest",
    ),
    Service(
        name="groq",
        base_url="https://api.groq.com/openai/v1",
        key_variable="GROQ_API_KEY",
        key_page="https://console.groq.com/keys",
        example="llama-3.3-70b-versatile",
    ),
    Service(
        name="deepseek",
        base_url="https://api.deepseek.com/v1",
        key_variable="DEEPSEEK_API_KEY",
        key_page="https://platform.deepseek.com/api_keys",
        example="deepseek-chat",
    ),
    Service(
        name="openrouter",
        base_url="https://openrouter.ai/api/v1",
        key_variable="OPENROUTER_API_KEY",
        key_page="https://openrouter.ai/keys",
        example="openai/gpt-5-mini",
    ),
    Service(
        name="together",
        base_url="https://api.together.xyz/v1",
        key_variable="TOGETHER_API_KEY",
        key_page="https://api.together.ai/settings/api-keys",
        example="meta-llama/Llama-3.3-70B-Instruct-Turbo",
    ),
    Service(
        name="xai",
        base_url="https://api.x.ai/v1",
        key_variable="XAI_API_KEY",
        key_page="https://console.x.ai",
        example="grok-4",
    ),
    Service("ollama", "http://127.0.0.1:11434/v1", local=True, example="llama3.2"),
    Service("lmstudio", "http://127.0.0.1:1234/v1", "LM_API_TOKEN", local=True, example="qwen/qwen3-4b"),
    Service("llamacpp", "http://127.0.0.1:8080/v1", "LLAMA_API_KEY", local=True, example="default"),
    Service("vllm", "http://127.0.0.1:8000/v1", "VLLM_API_KEY", local=True, example="Qwen/Qwen3-8B"),
)

SERVICES: Mapping[str, Service] = {service.name: service for service in _ROWS}
"""The services by name, in the order in which they are listed to users."""
