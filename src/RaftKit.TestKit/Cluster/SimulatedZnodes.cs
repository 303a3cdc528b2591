using System.Buffers;
using RaftKit.Consensus;
using RaftKit.Node.Encoding;
using RaftKit.Node.Levels;
using RaftKit.Node.Loop;
using RaftKit.Node.Members;
using RaftKit.Znodes;
using RaftKit.Znodes.Sessions;
using RaftKit.Znodes.Tree;

namespace RaftKit.TestKit;

/// <summary>The shipped znodes in a simulated process, with the oracle listening between the state machine and what observes it.</summary>
internal sealed class SimulatedZnodes : SimulatedApplication
{
    private readonly ZnodeService _service;

    public SimulatedZnodes(SimulatedWorld world, SimulatedRun run, SimulatedMember member, TreeOracle oracle, Action<long, long> jumped,
        IReadOnlyList<IStateMachine>? others = null, MachineOracle? machines = null)
    {
        _service = new ZnodeService(
            new ZnodeOptions
            {
                SessionTimeout = world.Options.SessionTimeout, ExpireOnRefusedConnection = world.Options.ExpireOnRefusedConnection,
            },
            new ClientScheduler(run.Process, world.Scheduler),
            Microsoft.Extensions.Logging.Abstractions.NullLogger.Instance);
        _service.Connect(run);
        var listener = new Listener(member.Id, _service, oracle, jumped, world.Faults.Coverage);
        _service.Machine.Observe(listener);
        Others = others ?? [];
        Machines = [listener, .. machines?.Watch(member.Id, Others) ?? Others];
        Membership = new QuorumMembership(run, TaskCreationOptions.None);
        Levels = new FeatureLevels(run, run.Build, TaskCreationOptions.None);
        Participants = [_service.Keeper, Membership, Levels];
    }

    public override IReadOnlyList<IStateMachine> Machines { get; }

    /// <summary>The user's own machines, as they were given.</summary>
    public IReadOnlyList<IStateMachine> Others { get; }

    public override IReadOnlyList<ILoopParticipant> Participants { get; }

    public IZnodeSessions Sessions => _service.Sessions;

    public GuestSessions Guests => _service.Guests;

    public QuorumMembership Membership { get; }

    public FeatureLevels Levels { get; }

    /// <summary>
    /// Completions run with no context of their own, as on the thread pool, so that what awaits them goes on as an event of its own on the
    /// process's context.
    /// </summary>
    private sealed class ClientScheduler(SimulatedProcess process, SimulatedScheduler scheduler) : IClientScheduler
    {
        private readonly SimulatedSynchronizationContext _context = new(process);

        public TaskCreationOptions Completion => TaskCreationOptions.None;

        public TimeSpan Monotonic => scheduler.Now;

        public void Post(Action action) => process.After(TimeSpan.Zero, () => _context.Run(action));
    }

    private sealed class Listener(MemberId member, ZnodeService service, TreeOracle oracle, Action<long, long> jumped, Coverage coverage)
        : IStateMachine, ISessionObserver
    {
        private readonly List<TreeChange> _changes = [];
        private readonly ISessionObserver _inner = service.Keeper;
        private Session? _opened;
        private Session? _ended;
        private SessionEnd _cause;
        private long _before;
        private long _zxid;

        public string Name => service.Machine.Name;

        public void Apply(in CommandContext context, ReadOnlyMemory<byte> command, IBufferWriter<byte> result)
        {
            _changes.Clear();
            (_opened, _ended) = (null, null);
            var isFirst = context.Zxid > oracle.Zxid;
            var (written, digest) = (((ArrayBufferWriter<byte>)result).WrittenCount, service.Machine.Tree.Digest);
            service.Machine.Apply(context, command, result);
            if (isFirst && MultiOf(command) is { } multi)
            {
                var reader = new MessagePackReader(((ArrayBufferWriter<byte>)result).WrittenMemory[written..]);
                // Refused before it came to the tree, its result is of one part.
                oracle.AppliedMulti(
                    member, context.Zxid, service.Machine, multi.Operations, TreeCommandCodec.ReadResult(ref reader, multi: true), _changes,
                    service.Machine.Tree.Digest != digest);
            }
            oracle.Applied(member, context.Zxid, service.Machine, _changes, _opened, _ended, _cause, _zxid);
            _zxid = context.Zxid;
        }

        private static TreeCommand.Multi? MultiOf(ReadOnlyMemory<byte> command)
        {
            var reader = new MessagePackReader(command);
            reader.ReadArrayHeader();
            if ((SessionCommandKind)reader.ReadByte() != SessionCommandKind.Tree)
                return null;
            reader.ReadInt64();
            return TreeCommandCodec.Read(ref reader) as TreeCommand.Multi;
        }

        public ISnapshotCapture Capture() => service.Machine.Capture();

        public IStateRestorer BeginRestore() => service.Machine.BeginRestore();

        public void Changed(in CommandContext context, List<TreeChange> changes)
        {
            _changes.AddRange(changes);
            _inner.Changed(context, changes);
        }

        public void Opened(Session session)
        {
            _opened = session;
            _inner.Opened(session);
        }

        public void Ended(Session session, SessionEnd cause)
        {
            (_ended, _cause) = (session, cause);
            coverage.Ended(cause);
            _inner.Ended(session, cause);
        }

        public void Active(Session session) => _inner.Active(session);

        public void Moved(Session session) => _inner.Moved(session);

        public void Spared(Session session)
        {
            coverage.Spared();
            _inner.Spared(session);
        }

        public void Checkpointed(Session session) => _inner.Checkpointed(session);

        public void Restoring()
        {
            _before = service.Machine.Zxid;
            _inner.Restoring();
        }

        public void Restored(in CommandContext context)
        {
            jumped(_before, service.Machine.Zxid);
            _inner.Restored(context);
            _zxid = service.Machine.Zxid;
            oracle.Restored(member, _zxid, service.Machine);
        }
    }
}
