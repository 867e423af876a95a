"""Becoming another user once all that needs root is done: listeners are open, limits are raised."""

import grp
import os
import pwd
from typing import NamedTuple

from fingerpost.errors import ConfigError


class Identity(NamedTuple):
    """A user and a group, as numbers; the groups are those that the user has besides."""

    uid: int
    gid: int
    groups: list[int]


def identity(text: str) -> Identity:
    """Who ``USER[:GROUP]`` is; without a group, the user's own ones.

    Raises:
        ConfigError: This machine doesn't know them.
    """
    name, separator, group = text.partition(":")
    try:
        entry = pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
        user_name, uid, gid = entry.pw_name, entry.pw_uid, entry.pw_gid
    except KeyError:
        if not name.isdigit() or not separator:
            raise ConfigError("user", text, "a user that this machine knows, or UID:GID") from None
        user_name, uid, gid = "", int(name), 0
    if separator:
        gid = int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
        return Identity(uid, gid, [gid])
    return Identity(uid, gid, os.getgrouplist(user_name, gid))


def become(wanted: Identity, text: str) -> bool:
    """Be that user from now on, for good.

    Args:
        wanted: Who.
        text: The setting, for a message.

    Returns:
        Whether anything has changed: a version that takes over is that user already.

    Raises:
        ConfigError: Only root can.
    """
    if os.getresuid() == (wanted.uid,) * 3 and os.getresgid() == (wanted.gid,) * 3:
        return False
    try:
        os.setgroups(wanted.groups)
        os.setresgid(wanted.gid, wanted.gid, wanted.gid)
        os.setresuid(wanted.uid, wanted.uid, wanted.uid)
    except PermissionError as error:
        raise ConfigError("user", text, "none, or a proxy that is started as root") from error
    return True
