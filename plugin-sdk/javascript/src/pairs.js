// Attributes, which the contract has as a list of names and values.

/** The contract's list of an object; empty where there is none. */
export const pairs = (attributes = {}) => Object.entries(attributes).map(([name, value]) => [name, String(value)]);
