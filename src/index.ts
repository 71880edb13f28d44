export { defineConfig } from './define/config/define-config.ts'
export { env } from './define/config/env.ts'
export type {
  BusinessTargetConfig,
  CalendarConfig,
  DatabaseConfig,
  DefaultsConfig,
  DurationText,
  EngineConfig,
  EventConfig,
  IdleConfig,
  RefreshByConfig,
  RelationText,
  ScheduleConfig,
  SizeText,
  SourceConfig,
  TidemarkConfig,
  ViewConfig,
  Weekday,
} from './define/config/tidemark-config.ts'
export { errorCatalogue, TidemarkError } from './model/errors.ts'
export type { ErrorCode, Fault } from './model/errors.ts'
