"""Everything that answers a prompt: the providers, and what it takes to write one.

Importing this brings no network library; a provider does when it is first asked.
"""

from nbchat.providers.base import AsyncGeneratorProvider, AsyncResult, ProviderModelMixin
from nbchat.providers.flowgpt import FlowGpt
from nbchat.providers.gprochat import GPROChat
from nbchat.providers.openai_compatible import OpenAICompatible
from nbchat.providers.registry import register

__all__ = [
    "AsyncGeneratorProvider",
    "AsyncResult",
    "FlowGpt",
    "GPROChat",
    "OpenAICompatible",
    "ProviderModelMixin",
    "register",
]
