"""The primitives of the language, a module a group, all of them thin over ``asking.ask``."""
