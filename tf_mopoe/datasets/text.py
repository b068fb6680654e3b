"""Text as one-hot characters over the 71 symbols that the paper's experiments use."""

import numpy as np

# That of the official code, in which "-" stands twice; here a tab has the second one's place, so that all differ.
ALPHABET = " {}abcdefghijklmnopqrstuvwxyz0123456789-,;.!?:'\"\\/|_@#$%^&*~`+\t=<>()[]\n"
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def symbols(texts, length):
    """Numbers of the characters, filled up with blanks: list of N strings -> int64 [N, length].

    Raises:
        ValueError: for a text that is too long or has a character that is not in `ALPHABET`.
    """
    numbers = np.full((len(texts), length), ALPHABET.index(" "), np.int64)
    for row, text in zip(numbers, texts):
        if len(text) > length or not set(text) <= set(ALPHABET):
            raise ValueError(f"A text must have at most {length} characters, all of ALPHABET. Received: {text!r}")
        row[: len(text)] = [ALPHABET.index(character) for character in text]
    return numbers


def one_hot(texts, length):
    """List of N strings -> float32 [N, length, 71]; errors as of `symbols`."""
    return np.eye(len(ALPHABET), dtype=np.float32)[symbols(texts, length)]


def read_text(characters):
    """The text of one-hot characters or their probabilities, [N, length, 71] -> list of N strings, blanks included."""
    return ["".join(ALPHABET[symbol] for symbol in row) for row in np.argmax(characters, axis=-1)]
