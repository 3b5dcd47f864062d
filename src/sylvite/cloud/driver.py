"""Driver: one provider, through libcloud.  What comes out is ours: machines, and errors of cloud/errors.py."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any, Literal, cast

from sylvite.cloud.arguments import Request, request_for
from sylvite.cloud.errors import CloudError, NotSupported, ProviderError
from sylvite.cloud.library import asking, library
from sylvite.cloud.machine import Machine
from sylvite.cloud.secret import HIDDEN, Redactor, revealed
from sylvite.cloud.settings import Profile, Provider
from sylvite.errors import InvalidSetting

Change = Literal["start", "stop", "reboot"]
Offer = Literal["sizes", "images", "locations"]
_OF_CONNECTION = ("timeout", "retry_delay", "backoff", "proxy_url", "region", "api_version")


class Driver:
    """A provider that can be asked.  Made by `open_driver`."""

    def __init__(self, provider: Provider, node_driver: Any, redactor: Redactor) -> None:
        self.provider, self.redactor = provider, redactor
        self._driver = node_driver

    def list_machines(self) -> list[Machine]:
        """Raises CloudError."""
        with self._asking("list the machines"):
            return [self._machine(node) for node in self._nodes()]

    def offers(self, what: Offer) -> dict[str, dict[str, Any]]:
        """Return what the provider has to choose from, by name: the id, and what else is known and plain.

        Raises:
            CloudError; NotSupported: the driver cannot say.
        """
        with self._asking(f"list the {what}"):
            try:
                found: list[Any] = list(getattr(self._driver, f"list_{what}")())
            except NotImplementedError:
                raise NotSupported(f"the driver {self.provider.driver} cannot list {what}") from None
            return {str(one.name): _plain_facts(one) for one in found}

    def prepare(self, name: str, profile: Profile) -> Request:
        """Return what `create` will ask for: size, image and location looked up at the provider.

        Raises:
            InvalidSetting: the profile names what is not there, or what the driver does not take.
            CloudError
        """
        with self._asking("look up what the profile names"):
            return request_for(self._driver, name, profile)

    def create(self, request: Request) -> Machine:
        """Ask for a machine; it is not ready when this returns.  Raises CloudError; AnswerUnknown: it may exist."""
        with self._asking("create the machine", changes=True):
            return self._machine(self._driver.create_node(**revealed(request.arguments)))

    def destroy(self, machine: Machine) -> None:
        """Raises CloudError."""
        with self._asking(f"destroy {machine.name}", changes=True):
            agreed = self._driver.destroy_node(self._node(machine))
        self._agreed(agreed, f"destroy {machine.name}")

    def change(self, change: Change, machine: Machine) -> None:
        """Start, stop or reboot.  Raises CloudError."""
        with self._asking(f"{change} {machine.name}", changes=True):
            agreed = getattr(self._driver, f"{change}_node")(self._node(machine))
        self._agreed(agreed, f"{change} {machine.name}")

    def check_can(self, change: Change) -> None:
        """Raises NotSupported: the driver has no such thing."""
        inherited: Any = getattr(library("compute.base").NodeDriver, f"{change}_node")
        own: Any = getattr(self._driver, f"{change}_node")
        if getattr(own, "__func__", own) is inherited:
            raise NotSupported(f"the driver {self.provider.driver} cannot {change} a machine")

    @property
    def can_tag(self) -> bool:
        return any(hasattr(self._driver, name) for name in ("ex_create_tags", "ex_set_metadata"))

    def tag(self, machine: Machine, tags: Mapping[str, Any]) -> None:
        """Label a machine at the provider.  Raises CloudError; NotSupported: this driver has no way."""
        texts = {key: str(value) for key, value in tags.items()}
        with self._asking(f"label {machine.name}", changes=True):
            node = self._node(machine)
            if hasattr(self._driver, "ex_set_metadata"):
                self._driver.ex_set_metadata(node, texts)
            elif not hasattr(self._driver, "ex_create_tags"):
                raise NotSupported(f"the driver {self.provider.driver} has no tags")
            elif "resource_ids" in inspect.signature(self._driver.ex_create_tags).parameters:
                self._driver.ex_create_tags([node.id], "UserVm", texts)  # CloudStack's way
            else:
                self._driver.ex_create_tags(node, texts)

    def _nodes(self) -> list[Any]:
        return list(self._driver.list_nodes(**self.provider.listing))

    def _node(self, machine: Machine) -> Any:
        for node in self._nodes():
            if str(node.id) == machine.id:
                return node
        raise ProviderError(f"{machine.name} ({machine.id}) is not at {self.provider.name} any more", status=404)

    def _machine(self, node: Any) -> Machine:
        return Machine(
            id=str(node.id), name=str(node.name), provider=self.provider.name, driver=self.provider.driver,
            state=str(node.state).lower(), public_ips=_texts(node.public_ips), private_ips=_texts(node.private_ips),
            size=_named(node, "size", "flavorId"), image=_named(node, "image", "imageId"),
        )  # fmt: skip

    def _agreed(self, agreed: object, what: str) -> None:
        if agreed is False:
            raise ProviderError(f"{self.provider.name}: {what}: the provider said no")

    def _asking(self, what: str, *, changes: bool = False) -> Any:
        return asking(f"{self.provider.name}: {what}", self.redactor.text, changes=changes)


def _plain_facts(found: Any) -> dict[str, Any]:
    """Return what is plain of an object of the library, without objects within and without what is empty."""
    known = cast("dict[str, object]", vars(found))
    facts = {name: value for name, value in known.items() if isinstance(value, str | int | float) and name[0] != "_"}
    return {**facts, "id": str(found.id)}


def _texts(found: Iterable[object] | None) -> tuple[str, ...]:
    return tuple(str(one) for one in found or () if one)


def _named(node: Any, what: str, extra: str) -> str:
    found = getattr(node, what, None)
    if found is not None:
        return str(getattr(found, "name", "") or getattr(found, "id", ""))
    more: Any = node.extra
    return str(more.get(extra) or "") if more else ""


def open_driver(provider: Provider, redactor: Redactor) -> Driver:
    """Return a provider that can be asked.

    Raises:
        LibraryMissing; InvalidSetting: there is no such driver, or it does not take what the file says of it.
        CloudError: some drivers ask the provider at once.
    """
    kind = driver_class(provider)
    check_arguments(kind, provider)
    arguments = revealed(dict(provider.arguments))
    try:
        with asking(f"{provider.name}: make the driver {provider.driver}", redactor.text):
            node_driver = kind(**arguments)
    except CloudError as error:
        if isinstance(error, ProviderError) and "TypeError" in str(error):
            raise InvalidSetting(provider.place, provider.driver, f"lacks something: {_plain(error)}") from None
        raise
    return Driver(provider, node_driver, redactor)


def _plain(error: CloudError) -> str:
    return str(error).rpartition("__init__() ")[2]


def driver_class(provider: Provider) -> Any:
    """Raises LibraryMissing, NotSupported, InvalidSetting: there is no driver of that name."""
    providers = library("compute.providers")
    known = {str(getattr(name, "value", name)) for name in providers.DRIVERS}
    if provider.driver not in known:
        close = difflib.get_close_matches(provider.driver, known, 1)
        hint = f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(sorted(known))}"
        raise InvalidSetting(f"{provider.place}.driver", provider.driver, f"is no driver of libcloud{hint}")
    try:
        return providers.get_driver(provider.driver)
    except ImportError as error:
        raise NotSupported(f"the driver {provider.driver} needs another package: {error}") from error


def check_arguments(kind: Any, provider: Provider) -> None:
    """Raises InvalidSetting: the constructor of the driver takes no such argument."""
    known, is_open = parameters_of(kind, ("__init__", "__new__"))
    if is_open:
        known |= set(_OF_CONNECTION)
    for key in provider.arguments:
        if key not in known and not (is_open and key.startswith("ex_")):
            close = difflib.get_close_matches(key, known, 1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; it takes {', '.join(sorted(known))}"
            raise InvalidSetting(
                f"{provider.place}.{key}", HIDDEN, f"is no argument of the driver {provider.driver}{hint}"
            )


def parameters_of(kind: Any, methods: tuple[str, ...]) -> tuple[set[str], bool]:
    """Return the names that methods of a class take, those of its bases included as far as `**kwargs` hands on.

    The second: whether there are others that no signature names.
    """
    known: set[str] = set()
    is_open = False
    for method in methods:
        for base in kind.__mro__[:-1]:
            function: Any = base.__dict__.get(method)
            if function is None:
                continue
            parameters = inspect.signature(function).parameters.values()
            known |= {one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
            if not any(one.kind is one.VAR_KEYWORD for one in parameters):
                break
            is_open = True
    return known - {"self", "cls"}, is_open
