"""`%%chat` and `%chat`: take the raw cell, parse the line, hand over, show the reply.

There are two magics and a transformer. `chat` waits on the thread, and works wherever a magic does: in loops,
under `%%time`, in terminals. `chat_async` awaits, so that a notebook's widgets and comms work meanwhile. The
transformer stands before all of IPython's own, so that a prompt reaches us byte for byte (later stages strip
`>>> `, expand `$x`, and turn a trailing `?` into help), and picks `chat_async` where a cell can await.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, magics_class, no_var_expand

from nbchat.completion import ChatCompleter
from nbchat.completion import remove as remove_completions
from nbchat.config import NbChat, settings
from nbchat.errors import ReplyInterrupted, UsageProblem
from nbchat.loop import allow_nested_loops
from nbchat.notebook import cells, in_kernel, inside_a_cell
from nbchat.traffic import CellOutput, PageClock

# The rest is imported where it is used: loading the extension must not slow down the start of every kernel.
if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nbchat.chat import Chat
    from nbchat.commands import Table
    from nbchat.display import Look
    from nbchat.options import Line
    from nbchat.reply import Reply

    Start = tuple[Callable[[], Reply], Look]
    """What starts a reply, and how to show it."""

NAMES = ("chat", "nbchat")
"""What the magics are called; the second is for where another extension has the first."""


@magics_class
class ChatMagics(Magics):
    """The magics of one shell; each parses, hands over and shows."""

    @no_var_expand
    def chat(self, line: str, cell: str | None = None) -> None:
        """Chat with a language model: `%%chat [MODEL] [options]` with the prompt below, `%chat PROMPT`, `%chat help`.

        The reply streams under the cell. The notebook keeps its conversation: later prompts are sent with
        the turns before them. `%chat help` shows the options and subcommands.
        """
        try:
            asked = _parse(line, cell)
            for start, look in self._prepare(asked, cell):
                from nbchat.display import show

                self._keep(asked, show(start, look))
        except ReplyInterrupted:
            raise
        except KeyboardInterrupt:  # before anything was sent, while the parts for it were imported
            raise ReplyInterrupted(0) from None

    @no_var_expand
    async def chat_async(self, line: str, cell: str | None = None) -> None:
        """What `%%chat` is in a notebook's cell: the same, but the kernel goes on with other work meanwhile."""
        asked = _parse(line, cell)
        for start, look in self._prepare(asked, cell):
            from nbchat.display import show_async

            self._keep(asked, await show_async(start, look))

    def _prepare(self, asked: Line, cell: str | None) -> list[Start]:
        """Carry out a subcommand, or find out what to send; what starts the replies to show, and how."""
        from nbchat.conversations import current
        from nbchat.display import Look
        from nbchat.messages import text_of

        chat, look = current(), Look(raw=asked.raw, stream=asked.stream)
        if asked.help or (cell is None and not asked.explicit):
            starts = _carry_out(chat, "help" if asked.help else asked.prompt, look)
            if starts is not None:
                return starts
        prompt = asked.prompt if cell is None else cell.removesuffix("\n")
        if not prompt.strip():
            raise UsageProblem(_NO_PROMPT)
        sending = asked.sending
        if asked.edit:  # if it was taken back since, there is nothing to replace
            sending["instead_of"] = next((turn for turn in chat.history if turn.id.startswith(asked.edit)), None)
        if asked.show_prompt:
            from nbchat.conversations import conversations

            conversations.keep_turns()
            model, provider, options, messages = chat.preview(prompt, **sending)
            to = ", ".join([f"to {model or provider} ({provider})", *(f"{key} {options[key]}" for key in options)])
            print("\n\n".join([to, *(f"{message['role']}: {text_of(message)}" for message in messages)]))
            return []
        return [(partial(chat.send, prompt, **sending), look)]

    def _keep(self, asked: Line, reply: Reply) -> None:
        if asked.into and self.shell is not None:
            self.shell.user_ns[asked.into] = reply.text


_NO_PROMPT = "There is no prompt: write it below the %%chat line, or on one line as `%chat …`; `%chat help` shows more."


def _carry_out(chat: Chat, line: str, look: Look) -> list[Start] | None:
    """Carry out a line that is a subcommand; what starts replies to show; None if the line is a prompt."""
    from nbchat import commands
    from nbchat.conversations import conversations

    result = commands.run(chat, line)
    if result is None:
        return None
    conversations.keep_turns()
    match result:
        case str() | commands.Table():
            _show_text(result)
            return []
        case commands.Shown(show):
            show()
            return []
        case commands.Again(prompt, reply, raw):
            return [(partial(_itself, reply), replace(look, prompt=prompt, raw=raw, again=True))]
        case commands.Series(word, turns, start):
            print(word)
            looks = {
                turn: replace(look, prompt=f"Turn {chat.history.number(turn)}: {turn.prompt}", again=True, turn=turn.id)
                for turn in turns
            }
            return [(partial(start, turn), looks[turn]) for turn in turns]
    return [(result, replace(look, again=True))]


def _show_text(result: str | Table) -> None:
    from nbchat import commands

    if isinstance(result, commands.Table):
        text, html = result
    else:
        text, html = result, None
    if in_kernel() and (html or isinstance(result, commands.Page)):
        from nbchat.display import show_page

        show_page(text, html)
    else:
        print(text)


def _parse(line: str, cell: str | None) -> Line:
    from nbchat.options import parse_header, parse_line

    return parse_line(line) if cell is None else parse_header(line)


def _itself(reply: Reply) -> Reply:
    return reply


class PromptTransformer:
    """Makes a call of a magic out of a raw `%%chat` cell, and of a cell that is one `%chat` line.

    `await` is written only where a cell can await: in a kernel with autoawait on asyncio, and no cell running
    (under `%%time` and in `ip.run_cell` the code runs inside another cell's).
    """

    has_side_effects = True  # not to be tried on half a cell while it is being typed

    def __init__(self, shell: InteractiveShell, names: list[str]) -> None:
        self._shell = shell
        self._cell = re.compile(rf"%%({'|'.join(names)})(?!\S)(.*)")
        self._line = re.compile(rf"%({'|'.join(names)})(?!\S)(.*)")
        self._running: set[object] = {_LOADING} if inside_a_cell() else set()

    def begin(self, info: object) -> None:
        """A cell starts to run."""
        self._running.add(id(info))
        cells.begin()

    def end(self, result: Any) -> None:
        """A cell has ended: one that was seen to begin, or the one that loaded the extension."""
        begun = id(result.info)
        self._running.discard(begun if begun in self._running else _LOADING)
        if not self._running:  # else one that was run within another
            cells.end(well=bool(result.success))

    def __call__(self, lines: list[str]) -> list[str]:
        rows = "".join(lines).split("\n")  # `lines` are split at more than line ends: U+2028 and such
        first = next((at for at, row in enumerate(rows) if row.strip() and not row.startswith("#")), None)
        if first is None:
            return lines
        if found := self._cell.fullmatch(rows[first]):
            if any(row.strip() for row in rows[:first]):
                raise UsageProblem("A %%chat cell must begin with its %%chat line: put the comment into the prompt.")
            body = "\n".join(rows[first + 1 :])
            if not body.strip() and {"-h", "--help"} & {*found[2].split()}:
                return [self._call("line", found)]
            if not body.strip():
                raise UsageProblem(_NO_PROMPT)
            return [self._call("cell", found, body)]
        found = self._line.fullmatch(rows[first])
        if found and not any(row.strip() for row in [*rows[:first], *rows[first + 1 :]]):
            return [self._call("line", found)]
        return lines

    def _call(self, kind: str, found: re.Match[str], *body: str) -> str:
        waits = self._awaits()
        arguments = ", ".join(repr(value) for value in (found[1] + "_async" * waits, found[2].lstrip(), *body))
        return f"{'await ' * waits}get_ipython().run_{kind}_magic({arguments})\n"

    def _awaits(self) -> bool:
        shell = self._shell
        runner = shell.loop_runner_map["asyncio"][0]
        return in_kernel() and shell.autoawait and shell.loop_runner is runner and not self._running


_LOADING = "the cell that loads the extension, whose begin was not seen"


def load(shell: Any) -> None:  # IPython's own annotations of what is called here are wrong
    """Put the magics, the transformer, the completions and the settings into a shell."""
    known = shell.magics_manager.magics
    names = [name for name in NAMES if _is_free(known, name)]
    if "chat" not in names:
        print("nbchat: another extension has %%chat here; ours is %%nbchat.")
    magics = ChatMagics(shell)
    for name in names:
        shell.register_magic_function(magics.chat, "line_cell", name)
        shell.register_magic_function(magics.chat_async, "line_cell", f"{name}_async")
    ChatCompleter(names).install(shell)
    transformer = PromptTransformer(shell, names)
    shell.input_transformers_cleanup.insert(0, transformer)
    shell.events.register("pre_run_cell", transformer.begin)
    shell.events.register("post_run_cell", transformer.end)
    if inside_a_cell():  # its begin was not seen, and it may tell of cells that were deleted before a restart
        cells.begin()
    CellOutput.listen()
    PageClock.listen()
    _load_settings(shell)
    if settings().nest_asyncio:
        allow_nested_loops()


def _is_free(known: dict[str, dict[str, Any]], name: str) -> bool:
    taken = known["cell"].get(name) or known["line"].get(name)
    return taken is None or _is_ours(taken)


def _is_ours(magic: Any) -> bool:
    return isinstance(getattr(magic, "__self__", None), ChatMagics)


def _load_settings(shell: Any) -> None:
    configured = NbChat.instance(parent=shell)
    if configured.parent is None:  # made before the extension was loaded
        configured.parent = shell
        configured.update_config(shell.config)
    if configured not in shell.configurables:
        shell.configurables.append(configured)


def unload(shell: Any) -> None:
    """Take out what `load` put in."""
    for kind in ("line", "cell"):
        known = shell.magics_manager.magics[kind]
        for name in [name for name, magic in known.items() if _is_ours(magic)]:
            del known[name]
    remove_completions(shell)
    for transformer in [found for found in shell.input_transformers_cleanup if isinstance(found, PromptTransformer)]:
        shell.input_transformers_cleanup.remove(transformer)
        shell.events.unregister("pre_run_cell", transformer.begin)
        shell.events.unregister("post_run_cell", transformer.end)
    shell.configurables[:] = [found for found in shell.configurables if not isinstance(found, NbChat)]
