"""Who there is, who may do what: `vmctl user`, `group`, `project`, `role`, `token`, `grant`, `can`, `whoami`."""

from __future__ import annotations

import textwrap
import time
from typing import Any

import click

from vmctl.cli import complete, output, times
from vmctl.cli.client import Client
from vmctl.cli.groups import Group
from vmctl.cli.typed import new_password
from vmctl.commands import users as asked

on_option = click.option(
    "--on",
    default="all",
    show_default=True,
    metavar="SCOPE",
    help="all, project:NAME or vm:NAME.",
    shell_complete=complete.scopes,
)


def _done(value: dict[str, Any], form: str, sentence: str) -> None:
    output.result(value, form, sentence, lambda one: one.get("name") or one.get("who"))


# -- users


@click.group(cls=Group)
def user() -> None:
    """Users: add, list, passwd, disable, enable, remove."""


@user.command("add")
@click.argument("name")
@click.option("--password", is_flag=True, help="Ask for a password; without one only tokens let the user in.")
@output.option
def add_user(name: str, password: bool, form: str) -> None:
    """Let somebody in; what he may do comes by `vmctl grant`.

    Example: vmctl user add anna --password
    """
    given = new_password() if password else ""
    done = Client().ask(asked.AddUser(name, given))
    _done(done, form, f"user {name} was added; what he may do: vmctl grant {name} ROLE --on SCOPE")


@user.command("list")
@output.option
def list_users(form: str) -> None:
    """List users.

    Example: vmctl user list
    """
    columns: tuple[output.Column, ...] = (
        ("NAME", lambda u: u["name"]),
        ("LOGS IN BY", lambda u: "password, tokens" if u["password"] else "tokens"),
        ("DISABLED", lambda u: "yes" if u["disabled"] else ""),
        ("GROUPS", lambda u: ", ".join(u["groups"])),
        ("RUNS JOBS AS", lambda u: ", ".join(u["logins"])),
    )
    output.rows(Client().ask(asked.ListUsers()), form, columns, (), "there are no users: vmctl user add NAME")


@user.command("passwd")
@click.argument("name", shell_complete=complete.users)
@output.option
def set_password(name: str, form: str) -> None:
    """Give a user another password. His tokens end, and what is open by them.

    Example: vmctl user passwd anna
    """
    given = new_password()
    _done(
        Client().ask(asked.SetPassword(name, given)), form, f"user {name} has another password; his tokens have ended"
    )


@user.command("disable")
@click.argument("name", shell_complete=complete.users)
@output.option
def disable_user(name: str, form: str) -> None:
    """Let a user in no more; what he has open ends.

    Example: vmctl user disable anna
    """
    _done(Client().ask(asked.DisableUser(name)), form, f"user {name} was disabled: vmctl user enable {name}")


@user.command("enable")
@click.argument("name", shell_complete=complete.users)
@output.option
def enable_user(name: str, form: str) -> None:
    """Let a user in again who was disabled.

    Example: vmctl user enable anna
    """
    _done(Client().ask(asked.DisableUser(name, enable=True)), form, f"user {name} was enabled")


@user.command("map")
@click.argument("name", shell_complete=complete.users)
@click.option(
    "--login", "logins", multiple=True, metavar="LOGIN@HOSTS", help="A log-in of hosts; * and ? stand for any."
)
@click.option("--clear", is_flag=True, help="He has none.")
@output.option
def map_user(name: str, logins: tuple[str, ...], clear: bool, form: str) -> None:
    """Say by which log-ins of hosts a user's jobs run; the first that fits a host counts.

    The log-in must exist there, and let the controller's key in: vmctl controller list -o wide shows it.

    Example: vmctl user map anna --login 'anna@kvm*'
    """
    if bool(logins) == clear:
        raise click.UsageError("--login LOGIN@HOSTS, or --clear")
    done = Client().ask(asked.MapUser(name, list(logins)))
    _done(
        done, form, f"user {name} runs jobs as {', '.join(logins)}" if logins else f"user {name} has no log-in on hosts"
    )


@user.command("remove")
@click.argument("name", shell_complete=complete.users)
@output.option
def remove_user(name: str, form: str) -> None:
    """Forget a user with his grants and tokens. His VMs stay.

    Example: vmctl user remove anna
    """
    _done(Client().ask(asked.RemoveUser(name)), form, f"user {name} was removed, with his grants and tokens")


# -- groups


@click.group(cls=Group)
def group() -> None:
    """Groups of users: add, list, set, remove."""


@group.command("add")
@click.argument("name")
@click.argument("members", nargs=-1, shell_complete=complete.users)
@output.option
def add_group(name: str, members: tuple[str, ...], form: str) -> None:
    """Make a group of users, who are granted the same.

    Example: vmctl group add ops anna ben
    """
    _done(Client().ask(asked.AddGroup(name, list(members))), form, f"group {name} was made")


@group.command("list")
@output.option
def list_groups(form: str) -> None:
    """List groups and who is in them.

    Example: vmctl group list
    """
    columns: tuple[output.Column, ...] = (("NAME", lambda g: g["name"]), ("MEMBERS", lambda g: ", ".join(g["members"])))
    output.rows(
        Client().ask(asked.ListGroups()), form, columns, (), "there are no groups: vmctl group add NAME USER..."
    )


@group.command("set")
@click.argument("name", shell_complete=complete.groups)
@click.option("--add", multiple=True, metavar="USER", help="Let a user be in it.", shell_complete=complete.users)
@click.option("--remove", multiple=True, metavar="USER", help="Take a user out.", shell_complete=complete.users)
@output.option
def set_members(name: str, add: tuple[str, ...], remove: tuple[str, ...], form: str) -> None:
    """Say who is in a group.

    Example: vmctl group set ops --add carl --remove ben
    """
    done = Client().ask(asked.SetMembers(name, list(add), list(remove)))
    _done(done, form, f"in group {name} are {', '.join(done['members']) or 'none'}")


@group.command("remove")
@click.argument("name", shell_complete=complete.groups)
@output.option
def remove_group(name: str, form: str) -> None:
    """Forget a group with its grants.

    Example: vmctl group remove ops
    """
    _done(Client().ask(asked.RemoveGroup(name)), form, f"group {name} was removed, with its grants")


# -- projects


@click.group(cls=Group)
def project() -> None:
    """Projects, to which VMs and images belong: create, list, move, remove."""


@project.command("create")
@click.argument("name")
@click.option("--about", default="", help="What it is for.")
@output.option
def add_project(name: str, about: str, form: str) -> None:
    """Make a project.

    Example: vmctl project create blue --about "the web shop"
    """
    _done(Client().ask(asked.AddProject(name, about)), form, f"project {name} was made")


@project.command("list")
@output.option
def list_projects(form: str) -> None:
    """List the projects of which you may see something.

    Example: vmctl project list
    """
    columns: tuple[output.Column, ...] = (("NAME", lambda p: p["name"]), ("ABOUT", lambda p: p["about"]))
    output.rows(Client().ask(asked.ListProjects()), form, columns, (), "there is no project that you may see")


@project.command("move")
@click.argument("vm", shell_complete=complete.vms)
@click.argument("name", shell_complete=complete.projects)
@output.option
def move_to_project(vm: str, name: str, form: str) -> None:
    """Let a VM belong to another project.

    Example: vmctl project move web1 blue
    """
    _done(Client().ask(asked.MoveToProject(vm, name)), form, f"{vm} belongs to project {name} now")


@project.command("remove")
@click.argument("name", shell_complete=complete.projects)
@output.option
def remove_project(name: str, form: str) -> None:
    """Forget a project that nothing belongs to.

    Example: vmctl project remove blue
    """
    _done(Client().ask(asked.RemoveProject(name)), form, f"project {name} was removed")


# -- roles and grants


@click.group(cls=Group)
def role() -> None:
    """Roles, which are permissions that are granted together: create, list, remove."""


@role.command("create")
@click.argument("name")
@click.argument("permissions", nargs=-1, required=True)
@output.option
def add_role(name: str, permissions: tuple[str, ...], form: str) -> None:
    """Name permissions that are granted together.

    Example: vmctl role create restarter look vm.power
    """
    _done(Client().ask(asked.AddRole(name, list(permissions))), form, f"role {name} was made")


@role.command("list")
@output.option
def list_roles(form: str) -> None:
    """List roles and what they let somebody do.

    Example: vmctl role list
    """
    columns: tuple[output.Column, ...] = (
        ("NAME", lambda r: r["name"]),
        ("PERMISSIONS", lambda r: " ".join(r["permissions"])),
    )
    found = Client().ask(asked.ListRoles())
    if form in output.PEOPLE:
        width = 78 - max(len(one["name"]) for one in found)
        found = [line for one in found for line in _wrapped(one, width)]
    output.rows(found, form, columns, (), "there are no roles")


def _wrapped(role: dict[str, Any], width: int) -> list[dict[str, Any]]:
    """A role as lines of a table that a terminal can show."""
    lines = textwrap.wrap(" ".join(role["permissions"]), width, break_on_hyphens=False) or [""]
    return [{"name": " " if number else role["name"], "permissions": [line]} for number, line in enumerate(lines)]


@role.command("remove")
@click.argument("name", shell_complete=complete.roles)
@output.option
def remove_role(name: str, form: str) -> None:
    """Forget a role that nobody has.

    Example: vmctl role remove restarter
    """
    _done(Client().ask(asked.RemoveRole(name)), form, f"role {name} was removed")


@click.command()
@click.argument("who", required=False, shell_complete=complete.users)
@click.argument("role", required=False, shell_complete=complete.roles)
@on_option
@output.option
def grant(who: str | None, role: str | None, on: str, form: str) -> None:
    """Give a user, or group:NAME, a role; without any, list what was granted.

    Example: vmctl grant anna creator --on project:blue
    """
    if who is None or role is None:
        _list_grants(form)
        return
    _done(Client().ask(asked.GrantRole(who, role, on)), form, f"{who} has role {role} on {on}")


def _list_grants(form: str) -> None:
    columns: tuple[output.Column, ...] = (
        ("WHO", lambda g: g["who"].removeprefix("user:")),
        ("ROLE", lambda g: g["role"]),
        ("ON", lambda g: g["scope"]),
        ("BY", lambda g: g["by"]),
        ("SINCE (UTC)", lambda g: times.shown(g["at"])),
    )
    empty = "nothing was granted: vmctl grant USER ROLE --on SCOPE"
    output.rows(Client().ask(asked.ListGrants()), form, columns, (), empty)


@click.command()
@click.argument("who", shell_complete=complete.users)
@click.argument("role", shell_complete=complete.roles)
@on_option
@output.option
def revoke(who: str, role: str, on: str, form: str) -> None:
    """Take back what was granted.

    Example: vmctl revoke anna creator --on project:blue
    """
    _done(Client().ask(asked.RevokeRole(who, role, on)), form, f"{who} has role {role} on {on} no more")


@click.command()
@click.argument("who", shell_complete=complete.users)
@click.argument("permission")
@on_option
@output.option
def can(who: str, permission: str, on: str, form: str) -> None:
    """Say whether a user may do something, and why.

    Example: vmctl can anna vm.delete --on vm:web1
    """
    found = Client().ask(asked.Can(who, permission, on))
    output.result(found, form, f"{'yes' if found['may'] else 'no'}: {found['why']}", lambda one: one["may"])
    if not found["may"]:
        raise SystemExit(5)


@click.command()
@output.option
def whoami(form: str) -> None:
    """Say who you are to the controller, and what you were granted.

    Example: vmctl whoami
    """
    found = Client().ask(asked.WhoAmI())
    if output.shown_as_data(found, form, lambda me: me["name"].replace(" ", "-")):
        return
    output.say(found["name"])
    for right in found["rights"]:
        _say_right(f"on {right['on']}", right)
    for right in found["narrowed"] or ():
        _say_right(f"but no more than, on {right['on']}", right)


def _say_right(where: str, right: dict[str, Any]) -> None:
    text = f"{where}: {' '.join(right['permissions'])}  ({right['how']})"
    for line in textwrap.wrap(text, 78, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False):
        output.say(line)


# -- tokens


@click.group(cls=Group)
def token() -> None:
    """Tokens, which stand for their owner: create, list, revoke."""


@token.command("create")
@click.argument("user", required=False, default="", shell_complete=complete.users)
@click.option("--about", default="", help="What it is for.")
@click.option(
    "--expires", type=times.Span(), default="90d", show_default=True, help="How long it opens something: 12h, 90d."
)
@click.option("--role", default="", help="No more than this role ...", shell_complete=complete.roles)
@click.option("--on", default="", metavar="SCOPE", help="... on this: all, project:NAME or vm:NAME.")
@output.option
def create_token(user: str, about: str, expires: float, role: str, on: str, form: str) -> None:
    """Make a token for yourself, or for another user. Its text is shown once and kept nowhere.

    Example: vmctl token create anna --about "her laptop" --expires 30d
    """
    made = Client().ask(asked.CreateToken(about, user, expires, role, on))
    if output.shown_as_data(made, form, lambda one: one["token"]):
        return
    output.say(made["token"])
    left = output.ago(made["expires_at"] - time.time())
    click.echo(f"token {made['id']} of {made['user']}, for {left}: this is shown once", err=True)


@token.command("list")
@output.option
def list_tokens(form: str) -> None:
    """List tokens: your own, or everybody's where you manage users.

    Example: vmctl token list
    """
    columns: tuple[output.Column, ...] = (
        ("ID", lambda t: t["id"]),
        ("USER", lambda t: t["user"]),
        ("ABOUT", lambda t: t["about"]),
        ("AT MOST", lambda t: f"{t['role']} on {t['on']}" if t["role"] else ""),
        ("EXPIRES (UTC)", lambda t: times.shown(t["expires_at"])),
    )
    output.rows(Client().ask(asked.ListTokens()), form, columns, (), "there are no tokens: vmctl token create")


@token.command("revoke")
@click.argument("id", shell_complete=complete.tokens)
@output.option
def revoke_token(id: str, form: str) -> None:
    """End a token; what is open by it ends, too.

    Example: vmctl token revoke 3f8a91c27d04
    """
    _done(Client().ask(asked.RevokeToken(id)), form, f"token {id} was revoked")
