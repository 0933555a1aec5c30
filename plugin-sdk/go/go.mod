module relais.internal/relais

go 1.27
