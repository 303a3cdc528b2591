using System.Buffers;
using System.Diagnostics;
using RaftKit.Consensus;
using RaftKit.Node.Encoding;
using RaftKit.Node.Log;
using RaftKit.Node.Transport;
using SnapshotReceiver = RaftKit.Node.Log.SnapshotReceiver;

namespace RaftKit.Node.Loop;

/// <summary>
/// Snapshots of this member's state, slice by slice beside the applying; chunks of them for peers; and the way of a leader's snapshot into
/// this member: received aside, durable, restored frame by frame, then the log starts after it. Disk work runs in the snapshot lane. Loop
/// thread only.
/// </summary>
internal sealed class SnapshotKeeper(NodeLoopOptions options, NodeLoopPorts ports, Applier applier, NodeCounters counters)
{
    /// <summary>Frames on their way to disk at most: slicing goes no faster than the disk.</summary>
    private const int MaxFramesInFlight = 4;

    /// <summary>
    /// How much longer than usual the log may get while snapshots are being sent: a peer that is too slow for even that must not keep it.
    /// </summary>
    private const long PatienceWithTransfers = 8;

    private Capture? _capture;
    private Receiving? _receiving;
    private Restoring? _restoring;
    private readonly HealingPace _pace = new();
    private TurnTime _turn;
    private LogIndex? _rotten;

    public SnapshotStore Store { private get; set; } = null!;

    /// <summary>The state machines are being replaced: nothing is applied meanwhile.</summary>
    public bool IsRestoring => _restoring is not null;

    /// <summary>Begins a snapshot when one is due, and takes the next slice of one under way.</summary>
    /// <returns>Whether to turn again at once.</returns>
    public bool Step(RaftCore core, NodeLoop loop)
    {
        if (_capture is null && !IsRestoring && IsDue(core, loop.Now.Monotonic))
        {
            if (IsMissed(core))
                BeginHealing(loop);
            _capture = Begin();
        }
        if (_capture is not { } capture || capture.FramesInFlight >= MaxFramesInFlight || capture.IsSliced
            || capture.SlicedIn == counters.TurnsCount)
            return false;
        var start = Moment.Now;
        Slice(capture);
        NoteTime(start);
        return false;
    }

    /// <summary>
    /// Has the first part of a snapshot compiled before the loop runs: that alone would hold up the turn that begins one for 10 ms.
    /// </summary>
    public void WarmUp()
    {
        using var capture = Open(out var node);
        capture.GiveBack(node);
        while (!capture.IsSliced)
        {
            // The first slice may be no more than a header.
            var (slices, more) = (capture.Current.Slices, true);
            for (var taken = 0; taken < 3 && more; taken++)
            {
                var frame = capture.TakeBuffer();
                more = slices.WriteSlice(frame);
                capture.GiveBack(frame);
            }
            capture.NextMachine();
        }
    }

    /// <summary>A peer needs a piece of the newest snapshot.</summary>
    public void ReadForPeer(SnapshotSend send) => ports.SnapshotLane.Submit(new ReadChunkJob(Store, options.Self, send));

    /// <summary>A piece of the leader's snapshot came, in order.</summary>
    public void WriteChunk(RaftCore core, SnapshotChunk chunk)
    {
        // Two members may write the same state as different bytes, so what came from one is never continued by another.
        if (_receiving is not { } receiving || receiving.Mark != chunk.Snapshot || receiving.From != chunk.From)
        {
            if (_receiving is { } old)
                ports.SnapshotLane.Submit(new AbortReceiveJob(old));
            _receiving = receiving = new Receiving(chunk.Snapshot, chunk.From);
        }
        // A garbled chunk is as good as a lost one: the leader is asked for it again.
        if (Crc32C.Of(chunk.Data.Span) == chunk.Checksum)
            ports.SnapshotLane.Submit(new WriteChunkJob(Store, receiving, chunk));
        else
            core.SnapshotChunkWritten(chunk.From, chunk.Term, chunk.Snapshot.Index, chunk.Offset);
    }

    /// <summary>A job of the snapshot lane ended well.</summary>
    public void Done(DiskJob job, RaftCore core, NodeLoop loop)
    {
        switch (job)
        {
            case ReadChunkJob { Rot: { } rot } read:
                // Once for each snapshot: whoever waits for it gets the next one.
                if (_rotten != read.Snapshot && read.Snapshot == core.SnapshotIndex)
                {
                    _rotten = read.Snapshot;
                    loop.RotMet(rot);
                }
                break;
            case ReadChunkJob { Chunk: { } chunk }:
                if (chunk.To.IsObserver || (core.Role == RaftRole.Leader && core.Term == chunk.Term))
                    ports.Transport.Send(chunk.To, new PeerMessage.Raft(chunk));
                break;
            case FrameJob frame:
                frame.Capture.FramesInFlight--;
                frame.Capture.GiveBack(frame.Frame);
                break;
            case CommitJob commit:
                Committed(commit, core, loop);
                break;
            case WriteChunkJob written:
                ChunkWritten(written, core);
                break;
            case CompleteReceiveJob complete:
                BeginRestore(complete, core, loop);
                break;
            case ReadFramesJob frames:
                RestoreFrames(frames, loop);
                break;
        }
    }

    /// <summary>
    /// Closes what is open; the lane has ended. What was not finished is deleted by the next start: the disk may be what failed.
    /// </summary>
    public void Dispose()
    {
        _capture?.Dispose();
        _capture?.CloseFile();
        _receiving?.File?.Close();
        _restoring?.Frames.Dispose();
    }

    private void BeginHealing(NodeLoop loop)
    {
        counters.HealingSnapshotsCount++;
        _pace.Begin(loop.Now.Monotonic);
        if (_pace.InARow > 1)
            loop.RotMetAgain(_pace);
    }

    private bool IsDue(RaftCore core, TimeSpan now) =>
        // What it covers must be durable here too, or a crash would leave a log that ends before the snapshot begins. Rot holds that back
        // for no longer than the disk does: it is met by reads alone, and writes go on.
        core.Durable >= applier.Applied && (applier.Applied > core.SnapshotIndex || IsRotten(core))
        // A newer one starts all transfers over: if they took longer than a snapshot's interval, none would end under steady writes.
        && ((IsMissed(core) && _pace.Allows(now)) || (IsDueAfter(1) && (!core.SendsSnapshots || IsDueAfter(PatienceWithTransfers))));

    // What rotted while this member ran can be had from its state alone.
    private bool IsMissed(RaftCore core) => core.NeedsSnapshot || IsRotten(core);

    // Also where nothing was applied since: who waits for it may be whose vote or acknowledgement the next entry needs.
    private bool IsRotten(RaftCore core) => _rotten == core.SnapshotIndex;

    private bool IsDueAfter(long intervals) => applier.EntriesSinceSnapshot / intervals >= options.SnapshotEveryEntries
        || applier.BytesSinceSnapshot / intervals >= options.SnapshotEveryBytes;

    private Capture Begin()
    {
        var start = Moment.Now;
        var capture = Open(out var node);
        applier.EntriesSinceSnapshot = 0;
        applier.BytesSinceSnapshot = 0;
        Submit(capture, Applier.NodeSection, node);
        NoteTime(start);
        return capture;
    }

    private Capture Open(out ArrayBufferWriter<byte> node)
    {
        var mark = new SnapshotMark(applier.Applied, applier.AppliedTerm, applier.AppliedStamp, applier.AppliedMembership, 0);
        var capture = new Capture(Store, mark, [.. applier.Machines.Select(m => (m.Name, m.Capture()))]) { SlicedIn = counters.TurnsCount };
        node = capture.TakeBuffer();
        applier.WriteNodeFrame(node);
        return capture;
    }

    private void Slice(Capture capture)
    {
        var (section, slices) = capture.Current;
        capture.SlicedIn = counters.TurnsCount;
        var frame = capture.TakeBuffer();
        if (!slices.WriteSlice(frame))
            capture.NextMachine();
        if (frame.WrittenCount > 0)
            Submit(capture, section, frame);
        else
            capture.GiveBack(frame);
        if (capture.IsSliced)
            ports.SnapshotLane.Submit(new CommitJob(capture));
    }

    private void Submit(Capture capture, string section, ArrayBufferWriter<byte> frame)
    {
        capture.FramesInFlight++;
        ports.SnapshotLane.Submit(new FrameJob(capture, section, frame));
    }

    private void Committed(CommitJob commit, RaftCore core, NodeLoop loop)
    {
        // Given up for a leader's snapshot, which the store names in its place: that one is not restored yet (simulator seed 495).
        if (commit.Capture != _capture)
            return;
        _capture?.Dispose();
        _capture = null;
        counters.SnapshotsTakenCount++;
        var mark = commit.Mark!;
        var replaces = IsRotten(core);
        if (mark.Index < core.SnapshotIndex || (mark.Index == core.SnapshotIndex && !replaces))
            return;
        _rotten = null;
        core.SnapshotTaken(mark, options.KeepEntries, replaces);
        // What was given up as rotten is not read any more, however few entries it is behind the snapshot.
        loop.CompactLog(LogIndex.Max(mark.Index - options.KeepEntries, LogIndex.Min(core.FirstIndex.Previous, mark.Index)));
    }

    private void ChunkWritten(WriteChunkJob written, RaftCore core)
    {
        if (written.Receiving != _receiving)
            return;
        var (chunk, next) = (written.Chunk, _receiving.File!.NextOffset);
        if (next == chunk.Snapshot.Length)
            ports.SnapshotLane.Submit(new CompleteReceiveJob(_receiving));
        else
            core.SnapshotChunkWritten(chunk.From, chunk.Term, chunk.Snapshot.Index, next);
    }

    private void BeginRestore(CompleteReceiveJob complete, RaftCore core, NodeLoop loop)
    {
        if (_receiving == complete.Receiving)
            _receiving = null;
        var (mark, from) = (complete.Receiving.Mark, complete.Receiving.From);
        if (mark.Index <= applier.Applied)
        {
            // The log overtook it meanwhile: nothing to restore, yet the leader may stop sending.
            core.SnapshotInstalled(mark, from);
            return;
        }
        var start = Moment.Now;
        GiveUpCapture();
        _restoring = new Restoring(mark, from, Store.OpenFrames(mark).GetEnumerator(), new FrameRouter(applier, mark.Index));
        NoteTime(start);
        RestoreFrames(null, loop);
    }

    /// <summary>The state that it captures is about to be replaced: its file goes, once the lane has done with it.</summary>
    private void GiveUpCapture()
    {
        if (_capture is not { } capture)
            return;
        capture.Dispose();
        _capture = null;
        ports.SnapshotLane.Submit(new GiveUpJob(capture));
    }

    private void RestoreFrames(ReadFramesJob? read, NodeLoop loop)
    {
        var (restoring, start) = (_restoring!, Moment.Now);
        if (read is not null)
        {
            foreach (var (section, frame) in read.Frames)
                restoring.Router.Frame(section, frame);
        }
        if (read is null || !read.IsEnd)
        {
            ports.SnapshotLane.Submit(new ReadFramesJob(restoring.Frames));
            NoteTime(start);
            return;
        }
        restoring.Frames.Dispose();
        restoring.Router.Complete(applier.Context(restoring.Mark));
        applier.JumpTo(restoring.Mark);
        counters.SnapshotsInstalledCount++;
        _restoring = null;
        loop.SnapshotRestored(restoring.Mark, restoring.From);
        NoteTime(start);
    }

    /// <summary>What snapshots cost the turn at hand so far, this piece of work included.</summary>
    private void NoteTime(in Moment start)
    {
        var (now, before) = (Moment.Now, _turn.Number == counters.TurnsCount ? _turn : default);
        var elapsed = Stopwatch.GetElapsedTime(start.Timestamp, now.Timestamp);
        // A collection that began before this piece of work did may count as a whole.
        var working = elapsed - (now.Paused - start.Paused);
        _turn = new TurnTime(
            counters.TurnsCount, before.Elapsed + elapsed, before.Working + (working > TimeSpan.Zero ? working : TimeSpan.Zero));
        if (_turn.Elapsed.Ticks > counters.LongestSnapshotTurnTicks)
            counters.LongestSnapshotTurnTicks = _turn.Elapsed.Ticks;
        if (_turn.Working.Ticks > counters.LongestSnapshotTurnWorkTicks)
            counters.LongestSnapshotTurnWorkTicks = _turn.Working.Ticks;
    }

    private readonly record struct Moment(long Timestamp, TimeSpan Paused)
    {
        public static Moment Now => new(Stopwatch.GetTimestamp(), GC.GetTotalPauseDuration());
    }

    private readonly record struct TurnTime(long Number, TimeSpan Elapsed, TimeSpan Working);

    /// <summary>
    /// A snapshot on its way here. Its file belongs to the snapshot lane while a job of it is under way, of which there is one at most.
    /// </summary>
    private sealed class Receiving(SnapshotMark mark, MemberId from)
    {
        public SnapshotMark Mark => mark;

        public MemberId From => from;

        public SnapshotReceiver? File { get; set; }
    }

    private sealed record Restoring(
        SnapshotMark Mark, MemberId From, IEnumerator<SnapshotFrame> Frames, FrameRouter Router);

    /// <summary>A snapshot of all machines, begun at one moment.</summary>
    private sealed class Capture(SnapshotStore store, SnapshotMark mark, IReadOnlyList<(string Section, ISnapshotCapture Slices)> machines)
        : IDisposable
    {
        private readonly Stack<ArrayBufferWriter<byte>> _buffers = new();
        private SnapshotWriter? _writer;
        private int _machine;

        /// <summary>In the lane only, where the first frame creates the file: on the loop that would be a wait for the disk.</summary>
        public SnapshotWriter Writer => _writer ??= store.Begin(mark);

        public int FramesInFlight { get; set; }

        /// <summary>The last turn that took a slice: one a turn.</summary>
        public long SlicedIn { get; set; }

        public bool IsSliced => _machine == machines.Count;

        public (string Section, ISnapshotCapture Slices) Current => machines[_machine];

        public void NextMachine() => machines[_machine++].Slices.Dispose();

        // A buffer for each frame would be most of what the process allocates meanwhile, and each beyond 85 kB one for the oldest
        // generation.
        public ArrayBufferWriter<byte> TakeBuffer() => _buffers.TryPop(out var buffer) ? buffer : new ArrayBufferWriter<byte>(64 << 10);

        public void GiveBack(ArrayBufferWriter<byte> buffer)
        {
            buffer.ResetWrittenCount();
            _buffers.Push(buffer);
        }

        public void CloseFile() => _writer?.Close();

        public void Dispose()
        {
            while (!IsSliced)
                NextMachine();
        }
    }

    private sealed class FrameJob(Capture capture, string section, ArrayBufferWriter<byte> frame) : DiskJob
    {
        public Capture Capture => capture;

        public ArrayBufferWriter<byte> Frame => frame;

        protected override void Run() => capture.Writer.WriteFrame(section, frame.WrittenSpan);
    }

    private sealed class GiveUpJob(Capture capture) : DiskJob
    {
        protected override void Run() => capture.Writer.Abort();
    }

    private sealed class CommitJob(Capture capture) : DiskJob
    {
        public Capture Capture => capture;

        public SnapshotMark? Mark { get; private set; }

        protected override void Run() => Mark = capture.Writer.Commit();
    }

    private sealed class ReadChunkJob(SnapshotStore store, MemberId self, SnapshotSend send) : DiskJob
    {
        public SnapshotChunk? Chunk { get; private set; }

        /// <summary>What is wrong with the snapshot; null if nothing was found.</summary>
        public string? Rot { get; private set; }

        public LogIndex Snapshot => send.Snapshot.Index;

        protected override void Run()
        {
            var bytes = new byte[Math.Min(send.MaxBytes, send.Snapshot.Length - send.Offset)];
            try
            {
                // A newer snapshot may have replaced this one: the core is about to notice, and starts over.
                if (bytes.Length == 0 || store.Read(send.Snapshot, send.Offset, bytes) != bytes.Length)
                    return;
            }
            catch (LogCorruptException rot)
            {
                Rot = rot.Message;
                return;
            }
            Chunk = new SnapshotChunk
            {
                From = self,
                To = send.To,
                Term = send.Term,
                Snapshot = send.Snapshot,
                Offset = send.Offset,
                Data = bytes,
                Checksum = Crc32C.Of(bytes),
            };
        }
    }

    private sealed class WriteChunkJob(SnapshotStore store, Receiving receiving, SnapshotChunk chunk) : DiskJob
    {
        public Receiving Receiving => receiving;

        public SnapshotChunk Chunk => chunk;

        protected override void Run()
        {
            receiving.File ??= store.BeginReceive(receiving.Mark);
            receiving.File.Write(chunk.Offset, chunk.Data.Span);
        }
    }

    private sealed class AbortReceiveJob(Receiving receiving) : DiskJob
    {
        protected override void Run() => receiving.File?.Abort();
    }

    private sealed class CompleteReceiveJob(Receiving receiving) : DiskJob
    {
        public Receiving Receiving => receiving;

        protected override void Run() => receiving.File!.Complete();
    }

    private sealed class ReadFramesJob(IEnumerator<SnapshotFrame> frames) : DiskJob
    {
        private const int MaxBytes = 256 << 10;

        public List<SnapshotFrame> Frames { get; } = [];

        public bool IsEnd { get; private set; }

        protected override void Run()
        {
            for (var bytes = 0; bytes < MaxBytes; bytes += Frames[^1].Bytes.Length)
            {
                if (!frames.MoveNext())
                {
                    IsEnd = true;
                    return;
                }
                Frames.Add(frames.Current);
            }
        }
    }
}

/// <summary>Gives each frame of a snapshot to the part that wrote it.</summary>
internal sealed class FrameRouter
{
    private readonly Applier _applier;
    private readonly Dictionary<string, IStateRestorer> _restorers;
    private readonly LogIndex _index;

    public FrameRouter(Applier applier, LogIndex index)
    {
        _applier = applier;
        _index = index;
        _restorers = applier.Machines.ToDictionary(m => m.Name, m => m.BeginRestore());
    }

    public void Frame(string section, ReadOnlyMemory<byte> frame)
    {
        if (section == Applier.NodeSection)
        {
            // It comes first: the machines must not be given what this process does not support.
            _applier.ReadNodeFrame(frame);
            _applier.RequireSupported("The snapshot up to entry", _index);
        }
        else if (_restorers.TryGetValue(section, out var restorer))
            restorer.Frame(frame);
        else
            throw new StateMachineMissingException(section, _index, "The snapshot up to entry");
    }

    public void Complete(in CommandContext context)
    {
        foreach (var restorer in _restorers.Values)
            restorer.Complete(context);
    }
}
