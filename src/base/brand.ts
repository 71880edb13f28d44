declare const brand: unique symbol

/**
 * A nominal type: a `Value` that only the module that mints `Name` can produce.
 * The brand exists for the compiler alone; at run time the value is a plain `Value`.
 */
export type Brand<Value, Name extends string> = Value & { readonly [brand]: Name }
