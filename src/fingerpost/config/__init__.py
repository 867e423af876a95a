"""The operator's settings.

One definition (`settings`), its textual forms (`values`), its sources (`sources`), the files it names
(`files`) and its documentation (`reference`, printed by ``python -m fingerpost.config``).

Importing this imports pydantic: commands that have to answer at once do without.
"""

from fingerpost.config.settings import Setting, Settings, catalogue
from fingerpost.config.sources import Configuration, Origin, load

__all__ = ["Configuration", "Origin", "Setting", "Settings", "catalogue", "load"]
