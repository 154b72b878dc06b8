"""Who is who in the browser: codes, signed cookies and form tokens, all derived from the course's secret.

Nothing of it is stored: after a restart every code and cookie is what it was.
"""

from __future__ import annotations

import base64
import hmac
import secrets
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

#: without I, L, O and U: what is read aloud or copied by hand must not be mistaken
ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
CODE_LENGTH: Final = 12  # of 5 bits
_MISREAD: Final = str.maketrans("ILO", "110")

#: wrong codes in a minute, from everywhere, before the next ones have to wait
WRONG_CODES: Final = 60
MINUTE: Final = 60.0


@dataclass(frozen=True)
class Keys:
    """What is derived from the course's secret for one quiz."""

    secret: bytes
    bank: str

    def _digest(self, purpose: str, text: str = "") -> bytes:
        return hmac.digest(self.secret, f"{purpose}\0{self.bank}\0{text}".encode(), "sha256")

    def code(self, student: str) -> str:
        """Return a student's code, such as 4F7K-92QX-M0TB (60 bits)."""
        number = int.from_bytes(self._digest("quiz-code", student), "big")
        letters = "".join(ALPHABET[number >> 5 * n & 31] for n in range(CODE_LENGTH))
        return "-".join(letters[n : n + 4] for n in range(0, CODE_LENGTH, 4))

    def seed(self, student: str, number: int) -> str:
        """Return the seed of a student's sitting, counted from 0: digits. `student` is empty where all are alike."""
        return str(int.from_bytes(self._digest("quiz-seed", f"{student}\0{number}")[:6], "big"))

    def live_token(self) -> str:
        """Return what opens the instructor's live view."""
        return base64.urlsafe_b64encode(self._digest("quiz-live")[:24]).decode()

    def cookie(self, student: str) -> str:
        """Return the value of a student's cookie: who they are, signed."""
        name = base64.urlsafe_b64encode(student.encode()).decode().rstrip("=")
        return f"{name}.{self._digest('quiz-cookie', student).hex()}"

    def student(self, cookie: str | None) -> str | None:
        """Return whom a cookie names, None where it is not one of ours."""
        name, _, signature = (cookie or "").partition(".")
        try:
            student = base64.urlsafe_b64decode(name + "=" * (-len(name) % 4)).decode()
        except (ValueError, UnicodeDecodeError):
            return None
        known = student and hmac.compare_digest(self._digest("quiz-cookie", student).hex().encode(), signature.encode())
        return student if known else None

    def form_token(self, cookie: str) -> str:
        """Return what every form of this cookie's owner carries, so that no other site can send one."""
        return self._digest("quiz-form", cookie).hex()


def tidy_code(text: str) -> str:
    """Return a typed code as it is compared: capitals, no dashes or spaces, 0 for O, 1 for I and L."""
    return "".join(c for c in text.upper().translate(_MISREAD) if c in ALPHABET)


def guest() -> str:
    """Return a new name for somebody who practises without a code."""
    return f"guest-{secrets.token_hex(8)}"


@dataclass
class Door:
    """Lets in who has a code, and slows down who tries codes out."""

    codes: dict[str, str]
    _wrong: deque[float] = field(default_factory=deque)
    _lock: Lock = field(default_factory=Lock)

    @classmethod
    def of(cls, keys: Keys, students: Iterable[str]) -> Door:
        """Return the door for these students."""
        return cls({tidy_code(keys.code(student)): student for student in students})

    @property
    def busy(self) -> bool:
        """Say whether so many wrong codes came within a minute that the next one has to wait."""
        now = time.monotonic()
        with self._lock:
            while self._wrong and self._wrong[0] < now - MINUTE:
                self._wrong.popleft()
            return len(self._wrong) >= WRONG_CODES

    def student(self, code: str) -> str | None:
        """Return whose code this is, or None; a wrong one is remembered."""
        found = self.codes.get(tidy_code(code[:100]))
        if found is None:
            with self._lock:
                self._wrong.append(time.monotonic())
        return found
