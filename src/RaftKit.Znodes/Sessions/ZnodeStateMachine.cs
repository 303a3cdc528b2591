using System.Buffers;
using RaftKit.Consensus;
using RaftKit.Node.Encoding;
using RaftKit.Node.Loop;
using RaftKit.Znodes.Tree;

namespace RaftKit.Znodes.Sessions;

/// <summary>
/// The znode tree and the sessions that own its ephemerals, as one state machine. Everything that a command does follows from the log; what
/// a member does about it (watches, contacts) hangs off <see cref="ISessionObserver"/>.
/// </summary>
internal sealed class ZnodeStateMachine(ZnodeTree tree) : IStateMachine
{
    public const string MachineName = "znodes";

    private readonly List<TreeChange> _changes = [];
    private ISessionObserver? _observer;

    public string Name => MachineName;

    public ZnodeTree Tree { get; } = tree;

    public SessionTable Sessions { get; } = new();

    /// <summary>The zxid of the last command applied, or of the snapshot restored.</summary>
    public long Zxid { get; private set; }

    public void Observe(ISessionObserver observer) => _observer = observer;

    public void Apply(in CommandContext context, ReadOnlyMemory<byte> command, IBufferWriter<byte> result)
    {
        Invariant.Holds(context.Zxid > Zxid, $"zxid {context.Zxid} applied after {Zxid}");
        Zxid = context.Zxid;
        using var entry = Tree.BeginEntry(context.Zxid);

        var reader = new MessagePackReader(command);
        var writer = new MessagePackWriter(result);
        var fields = reader.ReadArrayHeader();
        var kind = (SessionCommandKind)reader.ReadByte();
        switch (kind)
        {
            case SessionCommandKind.Tree:
                ApplyTree(context, ref reader, ref writer, namesMember: fields > 3);
                break;
            case SessionCommandKind.Open:
                ApplyOpen(context, ref reader, ref writer);
                break;
            case SessionCommandKind.Close:
                writer.Write(ApplyClose(context, ref reader, namesMember: fields > 2));
                break;
            case SessionCommandKind.Expire:
                writer.Write(ApplyExpire(context, ref reader));
                break;
            case SessionCommandKind.Reattach:
                writer.Write(ApplyReattach(context, ref reader));
                break;
            case SessionCommandKind.Checkpoint:
                ApplyCheckpoint(ref reader);
                break;
            default:
                throw new InvariantBrokenException(
                    $"The log holds a znode command of kind {(int)kind} with {fields} fields at {context.Index}: it was written by a newer version.");
        }
        writer.Flush();
    }

    public ISnapshotCapture Capture() => new ZnodeCapture(Sessions.Capture(), Tree.Capture());

    public IStateRestorer BeginRestore()
    {
        _observer?.Restoring();
        return new Restorer(this);
    }

    private void ApplyTree(in CommandContext context, ref MessagePackReader reader, ref MessagePackWriter writer, bool namesMember)
    {
        var id = reader.ReadInt64();
        var command = TreeCommandCodec.Read(ref reader);
        if (!Sessions.TryGet(id, out var session))
        {
            Refuse(ref writer, command, ZnodeError.SessionExpired);
            return;
        }
        // What a client sent over its old connection, and believes lost, must not overtake what it sends over the new one. Through the same
        // member it cannot: a proposer's commands apply in sequence.
        if (namesMember && reader.ReadInt32() != session.Member.Value)
        {
            Refuse(ref writer, command, ZnodeError.SessionMoved);
            return;
        }

        Activate(session, context.Index);
        _observer?.Active(session);
        _changes.Clear();
        var outcome = Tree.Apply(command, id, new TreeStamp(context.Zxid, context.Stamp), _changes);
        TreeCommandCodec.Write(ref writer, outcome);
        if (_changes.Count > 0)
            _observer?.Changed(context, _changes);
    }

    private void ApplyOpen(in CommandContext context, ref MessagePackReader reader, ref MessagePackWriter writer)
    {
        var timeout = Math.Clamp(reader.ReadInt32(), SessionCommand.MinTimeoutMilliseconds, SessionCommand.MaxTimeoutMilliseconds);
        var member = new MemberId(reader.ReadInt32());
        var session = new Session
        {
            // One open a command and a zxid of its own for every command: never given twice. The top byte is the member's, as ZooKeeper has
            // it.
            Id = ((long)member.Value << 56) | (context.Zxid & 0x00FF_FFFF_FFFF_FFFF),
            TimeoutMilliseconds = timeout,
            Host = SessionFields.ReadHost(ref reader),
            Password = reader.ReadBytesMemory().ToArray(),
            OpenedAt = context.Stamp,
            Member = member,
            LastActive = context.Index,
        };
        Sessions.Add(session);
        _observer?.Opened(session);
        writer.WriteArrayHeader(2);
        writer.Write(session.Id);
        writer.Write(timeout);
    }

    private static void Refuse(ref MessagePackWriter writer, TreeCommand command, ZnodeError error)
    {
        var refused = new ZnodeOperationResult(error, "", default);
        TreeCommandCodec.Write(ref writer, command is TreeCommand.Multi ? new TreeResult([refused]) : new TreeResult(refused));
    }

    private bool ApplyClose(in CommandContext context, ref MessagePackReader reader, bool namesMember)
    {
        if (!Sessions.TryGet(reader.ReadInt64(), out var session) || (namesMember && reader.ReadInt32() != session.Member.Value))
            return false;
        End(context, session, SessionEnd.Closed);
        return true;
    }

    private bool ApplyExpire(in CommandContext context, ref MessagePackReader reader)
    {
        var id = reader.ReadInt64();
        var asOf = new LogIndex(reader.ReadInt64());
        var cause = (SessionEnd)reader.ReadByte();
        var died = SessionFields.ReadHost(ref reader);
        if (!Sessions.TryGet(id, out var session))
            return false;

        // The proof that a process is gone holds whatever of it is still on its way. Silence is judged by what the log shows: whatever
        // leader judged it, and whatever has become of that leader since.
        var stands = cause == SessionEnd.HostDied ? died is { } process && session.LivesInOrBefore(process) : session.LastActive <= asOf;
        if (!stands)
        {
            _observer?.Spared(session);
            return false;
        }
        End(context, session, cause);
        return true;
    }

    /// <returns>Its timeout in milliseconds; 0: there is no such session for this password, whichever of the two is wrong.</returns>
    private int ApplyReattach(in CommandContext context, ref MessagePackReader reader)
    {
        var id = reader.ReadInt64();
        var member = new MemberId(reader.ReadInt32());
        if (!Sessions.TryGet(id, out var session) || !session.Opens(reader.ReadBytesMemory().Span))
            return 0;
        session.Member = member;
        Activate(session, context.Index);
        _observer?.Moved(session);
        return session.TimeoutMilliseconds;
    }

    private void ApplyCheckpoint(ref MessagePackReader reader)
    {
        var asOf = new LogIndex(reader.ReadInt64());
        for (var left = reader.ReadArrayHeader() / 3; left > 0; left--)
        {
            var id = reader.ReadInt64();
            var spent = reader.ReadInt32();
            var extended = reader.ReadBoolean();
            if (!Sessions.TryGet(id, out var session))
                continue;
            if (session.LastActive <= asOf)
            {
                session.SpentMilliseconds = Math.Clamp(spent, 0, session.TimeoutMilliseconds);
                session.Extended = extended;
            }
            _observer?.Checkpointed(session);
        }
    }

    private static void Activate(Session session, LogIndex index)
    {
        session.LastActive = index;
        session.SpentMilliseconds = 0;
        session.Extended = false;
    }

    /// <summary>
    /// Removes the session and all its ephemerals at once. The entry names only the session, so it is never too big (ZOOKEEPER-4306).
    /// </summary>
    private void End(in CommandContext context, Session session, SessionEnd cause)
    {
        Sessions.Remove(session.Id, out _);
        _changes.Clear();
        Tree.RemoveEphemerals(session.Id, new TreeStamp(context.Zxid, context.Stamp), _changes);
        if (_changes.Count > 0)
            _observer?.Changed(context, _changes);
        _observer?.Ended(session, cause);
    }

    private sealed class Restorer(ZnodeStateMachine machine) : IStateRestorer
    {
        private readonly Dictionary<long, Session> _sessions = [];
        private readonly IStateRestorer _tree = machine.Tree.BeginRestore();

        public void Frame(ReadOnlyMemory<byte> frame)
        {
            switch ((ZnodeFrame)frame.Span[0])
            {
                case ZnodeFrame.Sessions:
                    SessionTable.ReadFrame(frame[1..], _sessions);
                    break;
                case ZnodeFrame.Tree:
                    _tree.Frame(frame[1..]);
                    break;
                default:
                    throw new InvariantBrokenException(
                        $"The snapshot holds a znode frame of kind {frame.Span[0]}: it was written by a newer version.");
            }
        }

        public void Complete(in CommandContext context)
        {
            machine.Sessions.Replace(_sessions);
            _tree.Complete(context);
            machine.Zxid = machine.Tree.Zxid;
            machine._observer?.Restored(context);
        }
    }
}

/// <summary>What a snapshot's frame holds: its first byte. On disk: never change one.</summary>
internal enum ZnodeFrame : byte
{
    Sessions = 1,
    Tree = 2,
}

/// <summary>The sessions first, then the tree, as they were when the capture began.</summary>
internal sealed class ZnodeCapture(Session[] sessions, ISnapshotCapture tree) : ISnapshotCapture
{
    private int _next;
    private bool _sessionsWritten;

    public bool WriteSlice(IBufferWriter<byte> frame)
    {
        if (!_sessionsWritten)
        {
            Tag(frame, ZnodeFrame.Sessions);
            _next = SessionTable.WriteFrame(sessions, _next, frame);
            _sessionsWritten = _next == sessions.Length;
            return true;
        }
        Tag(frame, ZnodeFrame.Tree);
        return tree.WriteSlice(frame);
    }

    public void Dispose() => tree.Dispose();

    private static void Tag(IBufferWriter<byte> frame, ZnodeFrame kind)
    {
        frame.GetSpan(1)[0] = (byte)kind;
        frame.Advance(1);
    }
}
