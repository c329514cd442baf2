"""A fleet of workers in virtual time: real coordination, modelled servers."""
