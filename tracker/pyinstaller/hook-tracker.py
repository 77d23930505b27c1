# ruff: noqa: N999
"""What PyInstaller must take along besides the modules: the models and tables of the package, and its version."""

from PyInstaller.utils.hooks import collect_data_files, copy_metadata

datas = collect_data_files("tracker") + copy_metadata("landmark-tracker")
