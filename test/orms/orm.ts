/** What every ORM does, so that one suite holds for all. */
export interface Orm {
  readonly create: (producto: NewProducto) => Promise<unknown>
  readonly setPrecio: (id: number, precio: number) => Promise<unknown>
  readonly setTienda: (id: number, tienda: number) => Promise<unknown>
  /** Sets the price of the one of this name, or creates it. */
  readonly upsert: (producto: NewProducto) => Promise<unknown>
  readonly remove: (id: number) => Promise<unknown>
  /** In one statement. */
  readonly setAllPrecios: (precio: number) => Promise<unknown>
  readonly removeAllOf: (tienda: number) => Promise<unknown>
  readonly transaction: (work: (tx: Orm) => Promise<void>) => Promise<void>
  /** Within a transaction: a savepoint, rolled back where the work throws. */
  readonly nested: (work: (tx: Orm) => Promise<void>) => Promise<void>
  readonly raw: (sql: string) => Promise<unknown>
  readonly close: () => Promise<unknown>
}

/** A product that is not there yet. */
export interface NewProducto {
  readonly nombre: string
  readonly tienda: number
  readonly precio: number
}

/** What an ORM tells of rows; where it tells too little, every entry that depends on the table is invalidated. */
export interface Telling {
  /** Of one that is written by its id: what it is like. */
  readonly one: boolean
  /** Of one that is updated: also what it was like. */
  readonly before: boolean
  /** Of one that an upsert met. */
  readonly upsert: boolean
}
