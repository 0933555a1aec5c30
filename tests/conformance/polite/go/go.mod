module polite

go 1.27

require relais.internal/relais v0.0.0

replace relais.internal/relais => ../../../../plugin-sdk/go
