"""Names: what Salt's providers and profiles call things, and what libcloud calls them."""

from __future__ import annotations

from collections.abc import Mapping

DRIVERS: Mapping[str, str] = {
    "aliyun": "aliyun_ecs",
    "azurearm": "azure_arm",
    "digital_ocean": "digitalocean",
    "nova": "openstack",
    "vultrpy": "vultr",
}
"""Salt's names of drivers to libcloud's, where they differ."""

PROVIDER_KEYS: Mapping[str, Mapping[str, str]] = {
    "azure_arm": {"tenant": "tenant_id", "client_id": "key"},
    "cloudstack": {"apikey": "key", "secretkey": "secret"},
    "digitalocean": {"personal_access_token": "key"},
    "gce": {"service_account_email_address": "user_id", "service_account_private_key": "key"},
    "linode": {"apikey": "key"},
    "openstack": {
        "user": "key",
        "password": "secret",
        "tenant": "ex_tenant_name",
        "project": "ex_tenant_name",
        "identity_url": "ex_force_auth_url",
        "compute_region": "ex_force_service_region",
    },
    "rackspace": {"user": "key", "apikey": "secret", "compute_region": "region"},
    "scaleway": {"access_key": "key", "token": "secret"},
    "vultr": {"api_key": "key"},
}
"""For each driver: a key of Salt's provider file to the argument of the driver that it is."""

EC2_KEYS: Mapping[str, str] = {"id": "key", "key": "secret", "location": "region"}
"""Of EC2, where `key` is something else in libcloud: used where there is an `id`."""

PROVIDER_DEFAULTS: Mapping[str, Mapping[str, object]] = {
    "dummy": {"creds": ""},
    "openstack": {"ex_force_auth_version": "3.x_password", "api_version": "2.2"},
}

PROFILE_KEYS: Mapping[str, str] = {
    "availability_zone": "ex_availability_zone",
    "keyname": "ex_keyname",
    "network": "ex_network",
    "security_groups": "ex_security_groups",
    "securitygroup": "ex_security_groups",
    "ssh_key_name": "ex_keyname",
    "subnetid": "ex_subnet",
    "userdata": "ex_userdata",
}
"""A key of Salt's profiles to the argument of `create_node`, for drivers that have it."""

LISTED: Mapping[str, str] = {"networks": "ex_list_networks", "ex_subnet": "ex_list_subnets"}
"""Arguments that are objects of the driver, to the method that lists them; a profile names them by id or name."""

LISTED_OF_OPENSTACK: Mapping[str, str] = {"ex_security_groups": "ex_list_security_groups"}


SEVERAL = frozenset(("ex_security_groups", "networks"))
"""Arguments that are lists; a profile may name one thing alone."""

_WITH_PASSWORD = frozenset(("upcloud", "vsphere"))
"""Drivers whose own argument is called so."""


def driver_name(name: str) -> str:
    return DRIVERS.get(name, name)


def is_for_machines(driver: str, key: str, found: Mapping[str, object]) -> bool:
    """Say whether a key of a provider's file that could be either is said of its machines, and not of the account."""
    if key == "location":
        return not (driver == "ec2" and "id" in found)
    if key == "password":
        return driver in PROVIDER_KEYS and "password" not in PROVIDER_KEYS[driver] and driver not in _WITH_PASSWORD
    return key in PROFILE_KEYS


def provider_arguments(driver: str, written: Mapping[str, object]) -> dict[str, object]:
    """Return the arguments for the driver's constructor, under its own names."""
    names = EC2_KEYS if driver == "ec2" and "id" in written else PROVIDER_KEYS.get(driver, {})
    return {**PROVIDER_DEFAULTS.get(driver, {}), **{names.get(key, key): value for key, value in written.items()}}
