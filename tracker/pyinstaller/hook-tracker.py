# ruff: noqa: N999
"""Data that PyInstaller must bundle besides the modules: models, tables and the version of the package."""

from PyInstaller.utils.hooks import collect_data_files, copy_metadata

datas = collect_data_files("tracker") + copy_metadata("landmark-tracker")
