"""TLS of the link: version 1.3 and nothing before it, keys that are pinned, no resumption.

The master shows its certificate, of which only the key counts; a minion shows its key inside, by signing what the master
has sent (auth/enrolment.py).  So no list of certificates has to be kept up to date in a listener that runs.
"""

from __future__ import annotations

import os
import ssl

from sylvite.auth.keys import Fingerprint, KeyPair, read_certificate

PROTOCOL = "sylvite-link/1"


def master_context(pair: KeyPair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _strict(context)
    context.num_tickets = 0
    # `ssl` takes a key only from a file: this one has no name, and is gone when it is closed.
    descriptor = os.memfd_create("key", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, pair.pem())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return context


def minion_context() -> ssl.SSLContext:
    """Return a context that takes any certificate: `shown_by` tells whose it is, and nothing is said before."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _strict(context)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _strict(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols([PROTOCOL])


def shown_by(connection: ssl.SSLObject | ssl.SSLSocket) -> Fingerprint:
    """Return the fingerprint of the key that the other side has proven to have.

    Raises:
        InvalidKey: it is not of Ed25519, or there is none.
    """
    return read_certificate(connection.getpeercert(binary_form=True) or b"").fingerprint
