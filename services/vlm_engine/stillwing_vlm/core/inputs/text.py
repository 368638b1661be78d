"""The tokenizer file of a model and the pieces of Qwen's chat format, as token ids.

A caller's text never becomes a control token: control tokens are placed by id, or recognised in a template's own text
alone. It knows nothing of models or positions. Any thread may call it.
"""

import json
import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import AddedToken, Tokenizer

from stillwing_common.errors import ModelNotUsable

_CHAT_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>")
_TAG = re.compile(r"<[^<>\s]+>|\[[^\[\]\s]+\]")
"""What control tokens look like that a tokenizer does not call special: `<tool_call>` of Qwen2.5 is one."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Text from one hand. In a caller's text control tokens are ordinary characters."""

    text: str
    from_caller: bool = False


class ChatText:
    """Text to ids and back, in the layout `system, user (frames, question), assistant`."""

    def __init__(self, tokenizer: Tokenizer, end_ids: Collection[int] | None = None) -> None:
        """`end_ids`: tokens that end an answer, beside the end of a turn; None: those of the chat format.

        Raises ModelNotUsable where a control token of the chat format is missing.
        """
        self._tokenizer = tokenizer
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        added = tokenizer.get_added_tokens_decoder()
        self._special = frozenset(id for id, token in added.items() if token.special)
        control = {token.content: id for id, token in added.items() if token.special or _TAG.fullmatch(token.content)}
        # Not parsing control tokens is what keeps a prompt from opening a turn of its own. The library leaves alone
        # only those that it calls special.
        self._tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in control])
        self._tokenizer.encode_special_tokens = True
        self.control_ids = control
        """Ids of control tokens by their text."""
        longest_first = sorted(control, key=len, reverse=True)
        self._control_pattern = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        unknown = [id for id in end_ids or () if tokenizer.id_to_token(id) is None]
        if unknown:
            raise ModelNotUsable(f"its answers end with token {unknown[0]}, which its tokenizer has not")
        missing = [text for text in _CHAT_TOKENS if text not in control]
        if missing:
            raise ModelNotUsable(f"its tokenizer has no {', '.join(missing)}")
        ids = [control[text] for text in _CHAT_TOKENS]
        self._endoftext, self._im_start, self._im_end, self.vision_start, self.vision_end = ids
        known = frozenset(control.values())
        spelled = next((text for text in control if not known.isdisjoint(self.encode(text))), None)
        if spelled is not None:
            raise ModelNotUsable(f"its tokenizer makes the control token {spelled} of plain text")
        self._end_ids = frozenset((self._im_end, *((self._endoftext,) if end_ids is None else end_ids)))
        self._newline = self.encode("\n")
        self._assistant = [self._im_end, *self._newline, self._im_start, *self.encode("assistant\n")]

    @classmethod
    def from_file(cls, path: Path, end_ids: Collection[int] | None = None) -> "ChatText":
        """Read a tokenizer.json. Raises ModelNotUsable where it is missing or broken."""
        if not path.is_file():
            raise ModelNotUsable(f"{path} is missing", missing=path.name)
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the Rust library raises bare Exception for every kind of broken file
            raise ModelNotUsable(f"{path} is no tokenizer file: {error}") from error
        return cls(tokenizer, end_ids)

    @property
    def end_ids(self) -> frozenset[int]:
        """Tokens that end an answer."""
        return self._end_ids

    @property
    def end_id(self) -> int:
        """The token with which an answer ends in the chat format."""
        return self._im_end

    @property
    def vocab_size(self) -> int:
        """Tokens the tokenizer knows, added ones included."""
        return int(self._tokenizer.get_vocab_size(with_added_tokens=True))

    def token(self, id: int) -> str:
        """The text of one token, control tokens included."""
        return str(self._tokenizer.id_to_token(id))

    def to_json(self) -> str:
        """The whole tokenizer as its file's text."""
        return str(self._tokenizer.to_str())

    def to_nameless_json(self) -> str:
        """The same with control tokens under names that nobody knows.

        A library that is given it cannot take any text for one of them: not what a schema of a caller's forces.
        """
        content = json.loads(self.to_json())
        vocabulary, secret = content["model"]["vocab"], secrets.token_hex(8)
        for token in content["added_tokens"]:
            text = token["content"]
            if text in self.control_ids:
                token.update(content=f"<|{secret}-{token['id']}|>", special=True, normalized=False)
                if text in vocabulary:
                    vocabulary[token["content"]] = vocabulary.pop(text)
        return json.dumps(content, ensure_ascii=False)

    def encode(self, text: str) -> list[int]:
        """Ids of plain text; control tokens in it are ordinary characters."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def encode_pieces(self, pieces: Sequence[Piece]) -> list[int]:
        """Ids of pieces that follow on each other; control tokens are those of a template's text.

        Between two control tokens all is encoded together, as the tokenizer encodes the whole text.
        """
        ids: list[int] = []
        plain = ""
        for piece in _joined(pieces):
            for part in [piece.text] if piece.from_caller else self.split(piece.text):
                if isinstance(part, str):
                    plain += part
                else:
                    ids += [*self.encode(plain), part]
                    plain = ""
        return ids + self.encode(plain)

    def split(self, text: str) -> list[str | int]:
        """A template's text, cut at its control tokens, which stand there by their ids."""
        parts: list[str | int] = []
        end = 0
        for match in self._control_pattern.finditer(text):
            parts += [text[end : match.start()], self.control_ids[match.group()]]
            end = match.end()
        return [part for part in (*parts, text[end:]) if part != ""]

    def decode(self, ids: Sequence[int], *, shows_control: bool = False) -> str:
        """Text of ids, without tokens that the tokenizer calls special; with `shows_control` all but end tokens."""
        hidden = self.end_ids if shows_control else self._special
        return str(self._tokenizer.decode([id for id in ids if id not in hidden], skip_special_tokens=False))

    def opening(self, system_prompt: str) -> list[int]:
        """Ids that come before the first frame of a session."""
        system = self.encode(f"system\n{system_prompt}")
        user = self.encode("user\n")
        return [self._im_start, *system, self._im_end, *self._newline, self._im_start, *user]

    def question(self, prompt: str) -> list[int]:
        """Ids of one ask: the prompt, the end of the user's turn and the opening of the answer."""
        return [*self.encode(prompt), *self._assistant]


def _joined(pieces: Sequence[Piece]) -> list[Piece]:
    """The same text, neighbours from one hand made one."""
    joined: list[Piece] = []
    for piece in pieces:
        if joined and joined[-1].from_caller == piece.from_caller:
            piece = Piece(joined.pop().text + piece.text, piece.from_caller)
        joined.append(piece)
    return joined
