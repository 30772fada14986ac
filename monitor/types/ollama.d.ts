// The JSON of `steadyscribe-monitor ollama` with `--json`, and of the module `ollama`. A test
// compares it with the program. Times are RFC 3339.

export type ModelState =
  | 'Absent' | 'Loading' | 'Unlisted' | 'Resident' | 'Stopping' | 'Ghost' | 'Orphan'
  | 'ForeignReload'

/** `ollama status --json`, `load --json`, and a line of `watch --json`. */
export interface ModelMemoryReport {
  loadedModels: LoadedModel[]
  totalModelMemory: number
  /** Bytes of models that no lease uses. */
  cacheMemoryUsage: number
  memoryMappingEnabled: boolean
  contextWindowSize: number
  optimizationOpportunities: string[]
}

export interface LoadedModel {
  name: string
  /** Private bytes of its process, or the server's claim if the process is not visible. */
  memoryUsage: number
  /** `null` for a model of another program. */
  lastUsed: string | null
  isMemoryMapped: boolean
  contextSize: number
  state: ModelState
  isManaged: boolean
  leases: number
  claimedBytes: number | null
  privateBytes: number | null
  reclaimableBytes: number | null
  unclaimedBytes: number | null
  /** Why claim and measurement differ. */
  difference: string | null
  pid: number | null
}

/** `ollama unload --json`. */
export interface ModelUnloadResult {
  unloaded: UnloadedModel[]
  kept: KeptModel[]
  memoryFreed: number
}

export interface UnloadedModel {
  name: string
  claimedBytes: number | null
  privateBytes: number | null
  availableChangeBytes: number | null
  goneFromList: boolean
  processEnded: boolean | null
  killed: boolean
  memoryBack: boolean | null
  waitedMs: number
  /** Why claim and measurement differed. */
  difference?: string
  wasOrphan: boolean
  /** Only of a stuck model. */
  stuck?: Stuck
}

export interface Stuck {
  process: ProcessId | null
  remedy: string
}

export interface ProcessId {
  pid: number
  startTime: number
}

export interface KeptModel {
  name: string
  reason: string
}

/** `ollama plan --json`. */
export interface PlanLine {
  model: string
  /** `null` if not even the smallest context fits; the estimate belongs to that context then. */
  numCtx: number | null
  numBatch: number
  estimate: Estimate
  availableBytes: number
  reason: string
}

export interface Estimate {
  weightsBytes: number
  /** Only of mapped weights. */
  repackedBytes?: number
  kvBytes: number
  computeBytes: number
  overheadBytes: number
  totalBytes: number
}
