// What `steadyscribe-monitor ollama … --json` prints and the module `ollama` serializes. A test holds the names against the
// program. Bytes are numbers; times are RFC 3339.

export type ModelState = 'Absent' | 'Loading' | 'Resident' | 'Stopping' | 'Ghost' | 'Orphan' | 'ForeignReload'

/** `ollama status --json`, `load --json`, and a line of `watch --json`. */
export interface ModelMemoryReport {
  loadedModels: LoadedModel[]
  totalModelMemory: number
  /** Of models that nobody uses now. */
  cacheMemoryUsage: number
  memoryMappingEnabled: boolean
  contextWindowSize: number
  optimizationOpportunities: string[]
}

export interface LoadedModel {
  name: string
  /** Private bytes of its process, or the server's claim where the process cannot be seen. */
  memoryUsage: number
  /** `null`: another program's. */
  lastUsed: string | null
  isMemoryMapped: boolean
  contextSize: number
  state: ModelState
  isOurs: boolean
  users: number
  claimedBytes: number | null
  privateBytes: number | null
  reclaimableBytes: number | null
  unclaimedBytes: number | null
  /** Why claim and process differ. */
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
  /** Why claim and process differed. */
  difference?: string
  wasOrphan: boolean
  /** Only where it does not go. */
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
  /** `null`: not even the smallest context fits, and the estimate is its. */
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
