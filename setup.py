"""Packaging. Every fact is read from settings.ini, where nbdev keeps it too."""
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).resolve().parent
config = ConfigParser(delimiters=["="])
config.read(here / "settings.ini", encoding="utf-8")
settings = config["DEFAULT"]
site = settings["doc_host"] + settings["doc_baseurl"]
extras = {key.removesuffix("_requirements"): settings[key].split() for key in settings if key.endswith("_requirements")}

setup(
    name=settings["lib_name"],
    version=settings["version"],
    description=settings["description"],
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author=settings["author"],
    author_email=settings["author_email"],
    license="Apache-2.0",
    url=settings["git_url"],
    project_urls={"Documentation": site, "Changelog": f"{settings['git_url']}/blob/{settings['branch']}/CHANGELOG.md"},
    keywords=settings["keywords"].split(),
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Natural Language :: English",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Chemistry",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in (10, 11, 12, 13)),
    ],
    packages=find_packages(include=["isaac", "isaac.*"]),
    package_data={"isaac": ["configs/**", "data/**", "reference/**", "templates/**"]},
    include_package_data=False,
    install_requires=settings["requirements"].split(),
    extras_require=extras,
    python_requires=f">={settings['min_python']}",
    entry_points={"console_scripts": settings["console_scripts"].split()},
    zip_safe=False,
)
