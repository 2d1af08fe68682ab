"""Groups of commands of the command line, each a module that adds its commands to the application."""
