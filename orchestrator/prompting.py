"""From parents and a prompt to what the LLM reads, and from what it writes to a candidate's source.

The form is the paper's (appendix A): the parents' classes, then the prompt as a docstring; the LLM
continues with a class. In front of them stand the plugin's header and its worked examples.
"""

from __future__ import annotations

import re

from orchestrator.llm.protocol import Request
from plugins.contract import Prompt, Prompts


def body(prompts: Prompts, source: str) -> str:
    """The part of a candidate's source after the plugin's header: what a prompt shows of it."""
    return source.removeprefix(prompts.header.rstrip() + "\n").strip("\n")


def build_request(
    prompts: Prompts,
    prompt: Prompt,
    parents: tuple[str, ...],
    *,
    temperature: float,
    seed: int,
    top_p: float = 0.95,
    max_tokens: int = 512,
) -> Request:
    """The request for one candidate.

    Args:
        prompts: all that the plugin tells the LLM.
        prompt: the instruction, one of ``prompts.mutations`` or ``prompts.crossover``.
        parents: whole sources; one for a mutation, two for a crossover. Two or more are shown
            under numbered class names, as in the paper.
        temperature: sampling temperature, 0..1.
        seed: 0 <= seed < 2**31.
        top_p: nucleus sampling.
        max_tokens: new tokens at most.
    """
    shown = [body(prompts, parent) for parent in parents]
    if len(shown) > 1:
        name = re.compile(rf"\b{re.escape(prompts.class_name)}\b")
        shown = [
            name.sub(f"{prompts.class_name}{number}", text) for number, text in enumerate(shown, 1)
        ]
    parts = [prompts.header.strip("\n")]
    if prompts.preamble.strip():
        parts.append(prompts.preamble.strip("\n"))
    parts += shown
    parts.append(f'"""{prompt.text}"""')
    text = "\n\n".join(parts) + "\n\n" + prompts.opening
    return Request(
        prompt=text,
        opening=prompts.opening,
        temperature=temperature,
        seed=seed,
        top_p=top_p,
        max_tokens=max_tokens,
        parents=parents,
        edit=prompt.edit,
    )


def assemble(prompts: Prompts, text: str) -> str:
    """A candidate's source: the plugin's header, the class's opening, what the LLM wrote."""
    return f"{prompts.header.rstrip()}\n\n\n{prompts.opening}{text.rstrip()}\n"
