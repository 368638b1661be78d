"""The tokenizer file of a model and the pieces of Qwen's chat format, as token ids.

A caller's text never becomes a control token: control tokens are placed by id, and text is encoded with their parsing
off. It knows nothing of models or positions. Any thread may call it.
"""

from pathlib import Path

from tokenizers import Tokenizer

from stillwing_common.errors import ModelNotUsable

_CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>")


class ChatText:
    """Text to ids and back, in the layout `system, user (frames, question), assistant`."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Raises ModelNotUsable where a control token of the chat format is missing."""
        self._tokenizer = tokenizer
        # Not parsing control tokens is what keeps a prompt from opening a turn of its own.
        self._tokenizer.encode_special_tokens = True
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        vocabulary = tokenizer.get_vocab(with_added_tokens=True)
        missing = [text for text in _CONTROL if text not in vocabulary]
        if missing:
            raise ModelNotUsable(f"its tokenizer has no {', '.join(missing)}")
        self._endoftext, self._im_start, self._im_end, self.vision_start, self.vision_end = (
            vocabulary[text] for text in _CONTROL
        )
        self._newline = self.encode("\n")
        self._assistant = [self._im_end, *self._newline, self._im_start, *self.encode("assistant\n")]

    @classmethod
    def from_file(cls, path: Path) -> "ChatText":
        """Read a tokenizer.json. Raises ModelNotUsable where it is missing or broken."""
        if not path.is_file():
            raise ModelNotUsable(f"{path} is missing", missing=path.name)
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the Rust library raises bare Exception for every kind of broken file
            raise ModelNotUsable(f"{path} is no tokenizer file: {error}") from error
        return cls(tokenizer)

    @property
    def end_ids(self) -> frozenset[int]:
        """Tokens that end an answer."""
        return frozenset((self._im_end, self._endoftext))

    @property
    def end_id(self) -> int:
        """The token with which an answer ends in the chat format."""
        return self._im_end

    @property
    def vocab_size(self) -> int:
        """Tokens the tokenizer knows, added ones included."""
        return int(self._tokenizer.get_vocab_size(with_added_tokens=True))

    def to_json(self) -> str:
        """The whole tokenizer as its file's text, for the grammar library."""
        return str(self._tokenizer.to_str())

    def encode(self, text: str) -> list[int]:
        """Ids of plain text; control tokens in it are ordinary characters."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: list[int]) -> str:
        """Text of ids, without control tokens."""
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))

    def opening(self, system_prompt: str) -> list[int]:
        """Ids that come before the first frame of a session."""
        system = self.encode(f"system\n{system_prompt}")
        user = self.encode("user\n")
        return [self._im_start, *system, self._im_end, *self._newline, self._im_start, *user]

    def question(self, prompt: str) -> list[int]:
        """Ids of one ask: the prompt, the end of the user's turn and the opening of the answer."""
        return [*self.encode(prompt), *self._assistant]
