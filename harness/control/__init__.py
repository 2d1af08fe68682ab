"""How a guest is driven: ``ssh`` runs commands and moves files, ``wskctl`` carries operations to the driver."""
