"""Run by Superset's own Python: brings its metadata up to date, sets the administrator's password, and imports a bundle.

    SUPERSET_HOME, SUPERSET_SECRET_KEY, SUPERSET_ADMIN_PASSWORD ──► superset.db ◄── the bundle's folder

Alone: ``python infra/superset/load.py FOLDER``, with those variables, in an environment of `requirements.lock`.
"""

import sys
from pathlib import Path

from flask_migrate import upgrade
from superset.app import create_app


def load(folder: Path, password: str) -> None:
    """Make or change Superset's metadata and import all files of a folder, which replace those of the same UUID."""
    import superset
    from superset import appbuilder, security_manager
    from superset.commands.importers.v1.assets import ImportAssetsCommand
    from superset.utils.core import override_user

    upgrade(directory=str(Path(superset.__file__).parent / "migrations"))
    appbuilder.add_permissions(update_perms=True)
    security_manager.sync_role_definitions()
    admin = security_manager.find_user("admin")
    if admin:
        security_manager.reset_password(admin.id, password)
    else:
        role = security_manager.find_role("Admin")
        admin = security_manager.add_user("admin", "perplake", "admin", "admin@localhost", role, password)
    contents = {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*.yaml"))}
    with override_user(admin):
        ImportAssetsCommand(contents).run()


if __name__ == "__main__":
    import os

    with create_app().app_context():
        load(Path(sys.argv[1]), os.environ["SUPERSET_ADMIN_PASSWORD"])
