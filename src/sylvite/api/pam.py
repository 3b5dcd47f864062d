"""Ask PAM whether a password is right, and whether the account may be used: `python -m sylvite.api.pam`.

A process of its own: modules of PAM may block, fork, or end the program.  It reads one JSON object at stdin, and its exit code is
the answer: 0 yes, 1 no, 2 PAM cannot be asked.  Source: pam(3), pam_conv(3).
"""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import os
import sys
from typing import Any

YES, NO, UNKNOWN = 0, 1, 2
_PROMPT_ECHO_OFF = 1
_SUCCESS, _BUFFER_ERROR = 0, 5


class _Message(ctypes.Structure):
    _fields_ = (("style", ctypes.c_int), ("text", ctypes.c_char_p))


class _Response(ctypes.Structure):
    _fields_ = (("text", ctypes.c_void_p), ("code", ctypes.c_int))


_Converse = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_int,
    ctypes.POINTER(ctypes.POINTER(_Message)),
    ctypes.POINTER(ctypes.c_void_p),
    ctypes.c_void_p,
)


class _Conversation(ctypes.Structure):
    _fields_ = (("converse", _Converse), ("data", ctypes.c_void_p))


def ask(service: str, name: str, password: str, folder: str | None = None) -> int:
    """Return the answer.  `folder`: with the services, in place of the system's."""
    pam, libc = ctypes.CDLL(ctypes.util.find_library("pam") or "libpam.so.0"), ctypes.CDLL(None)
    libc.calloc.restype = libc.strdup.restype = ctypes.c_void_p
    libc.calloc.argtypes, libc.strdup.argtypes = (ctypes.c_size_t, ctypes.c_size_t), (ctypes.c_char_p,)

    def converse(count: int, messages: Any, responses: Any, data: object) -> int:
        del data
        # PAM frees what it is given.
        made = libc.calloc(count, ctypes.sizeof(_Response))
        if not made:
            return _BUFFER_ERROR
        answers = ctypes.cast(made, ctypes.POINTER(_Response))
        for index in range(count):
            if messages[index].contents.style == _PROMPT_ECHO_OFF:
                answers[index].text = libc.strdup(password.encode())
        responses[0] = made
        return _SUCCESS

    conversation = _Conversation(_Converse(converse), None)
    handle = ctypes.c_void_p()
    places = (service.encode(), name.encode(), ctypes.byref(conversation))
    if folder is None:
        started = pam.pam_start(*places, ctypes.byref(handle))
    else:
        started = pam.pam_start_confdir(*places, folder.encode(), ctypes.byref(handle))
    if started != _SUCCESS:
        return UNKNOWN
    found = pam.pam_authenticate(handle, 0)
    if found == _SUCCESS:
        # Whether the account is locked or its time is over is another question (CVE-2022-22967).
        found = pam.pam_acct_mgmt(handle, 0)
    pam.pam_end(handle, found)
    return YES if found == _SUCCESS else NO


def main() -> int:
    # What the interface has open is not for modules of PAM.
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    asked = json.loads(sys.stdin.buffer.read(64 * 1024))
    try:
        return ask(str(asked["service"]), str(asked["name"]), str(asked["password"]), asked.get("folder"))
    except (OSError, AttributeError):
        return UNKNOWN


if __name__ == "__main__":
    sys.exit(main())
