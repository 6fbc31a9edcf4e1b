/** `sluice/testing`: time that a test moves, randomness that a seed fixes, a backend that a test plays. */

export { SteppedClock } from '../env/stepped-clock.js';
export { type CycleDetector, detectCycles } from '../loader/cycles.js';
export { exerciseLog, type LogUnderTest, type LogUnderTestOptions, type TestFunctions } from './exercise-log.js';
export { type ExerciseSinkOptions, exerciseSink, type SinkUnderTest, type SuiteFunctions } from './exercise-sink.js';
export { batchOf, contextOf, laneBatchOf } from './made-batch.js';
export { type ScriptedSink, type SinkCall, scriptedSink } from './scripted-sink.js';
export { seededRandom } from './seeded-random.js';
export { TestClock } from './test-clock.js';
export { type TestEnv, testEnv } from './test-env.js';
