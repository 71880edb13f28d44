import { installOrms } from './install.ts'

installOrms()
for (const orm of ['drizzle', 'kysely', 'prisma', 'typeorm']) await import(`./${orm}-suite.ts`)
