"""Text as one-hot characters, by default over the 71 symbols that the paper's experiments use."""

from collections.abc import Sequence

import numpy as np

# That of the official code, in which "-" stands twice; here a tab has the second one's place, so that all differ.
ALPHABET = " {}abcdefghijklmnopqrstuvwxyz0123456789-,;.!?:'\"\\/|_@#$%^&*~`+\t=<>()[]\n"
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def symbols(texts: Sequence[str], length: int, alphabet: str = ALPHABET) -> np.ndarray:
    """Convert characters to their numbers, padded with blanks: list of N strings -> int64 [N, length].

    Raises:
        ValueError: for a text that is too long or has a character that is not in the alphabet.
    """
    numbers = np.full((len(texts), length), alphabet.index(" "), np.int64)
    for row, text in zip(numbers, texts):
        if len(text) > length or not set(text) <= set(alphabet):
            raise ValueError(f"A text must have at most {length} characters, all of the alphabet. Received: {text!r}")
        row[: len(text)] = [alphabet.index(character) for character in text]
    return numbers


def one_hot(texts: Sequence[str], length: int, alphabet: str = ALPHABET) -> np.ndarray:
    """Encode N strings as one-hot float32 [N, length, C], C symbols of the alphabet; errors as of `symbols`."""
    return np.eye(len(alphabet), dtype=np.float32)[symbols(texts, length, alphabet)]


def read_text(characters: np.ndarray, alphabet: str = ALPHABET) -> list[str]:
    """Convert one-hot characters or their probabilities to text, [N, length, C] -> list of N strings, blanks included."""
    return ["".join(alphabet[symbol] for symbol in row) for row in np.argmax(characters, axis=-1)]


def nearest_word(
    characters: np.ndarray, words: Sequence[str], alphabet: str = ALPHABET, expected: bool = False
) -> np.ndarray:
    """Find the word nearest to a text: the most matching characters over all words and places among blanks.

    Args:
        characters: one-hot texts or their probabilities, [N, length, C].
        words: list of strings of at most `length` characters.
        alphabet: string of C different symbols, a blank among them. Default: `ALPHABET`.
        expected: count the matches that are expected under the probabilities. Default (False): those of the likeliest
            character at each place, so of the text as it is read. The former also reads a word whose place is undecided.

    Returns:
        int64 [N], indices of `words`.
    """
    length = np.shape(characters)[1]
    templates = [
        (index, (" " * start + word).ljust(length))
        for index, word in enumerate(words)
        for start in range(length - len(word) + 1)
    ]
    symbols = one_hot([template for _, template in templates], length, alphabet)  # [templates, length, C]
    likeliest = np.argmax(characters, axis=-1)
    read = np.asarray(characters) if expected else np.eye(len(alphabet), dtype=np.float32)[likeliest]
    matches = np.einsum("ntc,mtc->nm", read, symbols, optimize=True)  # [N, templates]
    return np.array([index for index, _ in templates])[np.argmax(matches, axis=1)]
