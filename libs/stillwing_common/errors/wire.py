"""What is wrong with a request, a channel or a picture that came by one, whatever the service behind it."""

from stillwing_common.errors.base import InvalidInput, WrongState


class UnsetOneof(InvalidInput):
    """A oneof of the request is unset or holds a member this version does not know."""

    reason = "UNSET_ONEOF"


class DeadlineRequired(InvalidInput):
    """This rpc needs a deadline; set one on the call."""

    reason = "DEADLINE_REQUIRED"


class TextTooLong(InvalidInput):
    """A text is longer than the limit."""

    reason = "TEXT_TOO_LONG"


class WrongFirstMessage(InvalidInput):
    """The first message of a session must be `open`, and only the first."""

    reason = "WRONG_FIRST_MESSAGE"


class InsecureBind(InvalidInput):
    """Plaintext is served on loopback only; give a TLS certificate and key and a bearer token."""

    reason = "INSECURE_BIND"


class InsecureChannel(InvalidInput):
    """A bearer token is sent over TLS or to loopback only; give the file of the server's certificate authority."""

    reason = "INSECURE_CHANNEL"


class PortInUse(WrongState):
    """The port is in use; stop the other process or choose another port."""

    reason = "PORT_IN_USE"


class WrongService(WrongState):
    """The server at this address is not the service that was asked for."""

    reason = "WRONG_SERVICE"


class ImageEmpty(InvalidInput):
    """The image has no bytes."""

    reason = "IMAGE_EMPTY"


class ImageUndecodable(InvalidInput):
    """The image cannot be decoded."""

    reason = "IMAGE_UNDECODABLE"


class ImageTooLarge(InvalidInput):
    """The image has more pixels or bytes than the limit."""

    reason = "IMAGE_TOO_LARGE"
