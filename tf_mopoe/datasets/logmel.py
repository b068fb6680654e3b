"""Log-mel pictures of short recordings, in NumPy, for every speech data set of this project.

One recipe: 8 kHz, Hann window of 256 samples (32 ms), hop 128 (16 ms), the first 1.024 s, 32 mel bands up to 4 kHz,
decibels below the loudest cell, cut at -80 dB and stored as 0..255.
"""

import numpy as np
from numpy.typing import ArrayLike

RATE = 8000  # Hz
WINDOW, HOP = 256, 128  # samples
MELS, FRAMES = 32, 64
FLOOR_DB = -80.0


def mel_filters() -> np.ndarray:
    """Return triangular filters, equally spaced on the HTK mel scale between 0 and 4 kHz: [MELS, WINDOW // 2 + 1]."""
    top = 2595.0 * np.log10(1.0 + RATE / 2 / 700.0)
    edges = 700.0 * (10.0 ** (np.linspace(0.0, top, MELS + 2) / 2595.0) - 1.0)  # [MELS + 2] Hz
    bins = np.linspace(0.0, RATE / 2, WINDOW // 2 + 1)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    return np.clip(np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)), 0.0, None)


def resample(samples: ArrayLike, rate: int) -> np.ndarray:
    """Resample `samples` [T] from `rate` Hz to 8 kHz, band-limited, by cutting or padding the spectrum."""
    if rate == RATE:
        return np.asarray(samples, np.float64)
    length = round(len(samples) * RATE / rate)
    return np.fft.irfft(np.fft.rfft(samples), n=length) * (length / len(samples))


def log_mel(samples: ArrayLike) -> np.ndarray:
    """Compute the log-mel picture of one recording.

    Args:
        samples: [T] numbers at 8 kHz, any scale; cut or padded with silence to 1.024 s.

    Returns:
        uint8 [32, 64]: mel band (low first) by time; 255 is the loudest cell, 0 is 80 dB (or more) below it.
    """
    total = HOP * (FRAMES - 1) + WINDOW
    padded = np.zeros(total)
    padded[: min(len(samples), total)] = np.asarray(samples, np.float64)[:total]
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]  # [FRAMES, WINDOW]
    power = np.abs(np.fft.rfft(frames * np.hanning(WINDOW))) ** 2  # [FRAMES, bins]
    mel = mel_filters() @ power.T  # [MELS, FRAMES]
    decibel = 10.0 * np.log10(np.maximum(mel, 1e-12) / max(mel.max(), 1e-12))
    return np.round(255.0 * (1.0 - np.maximum(decibel, FLOOR_DB) / FLOOR_DB)).astype(np.uint8)
