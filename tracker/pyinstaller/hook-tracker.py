# ruff: noqa: N999
"""What PyInstaller must take along besides the modules: the models and tables of the package."""

from PyInstaller.utils.hooks import collect_data_files

datas = collect_data_files("tracker")
