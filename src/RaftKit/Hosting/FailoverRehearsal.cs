using System.Runtime.CompilerServices;
using RaftKit.Consensus;
using RaftKit.Node.Loop;
using RaftKit.Node.Rehearsal;
using RaftKit.Recipes;
using RaftKit.Znodes;
using RaftKit.Znodes.Sessions;

namespace RaftKit.Hosting;

/// <summary>
/// Plays a failover through in memory: three members form a cluster, two contend for leadership at a path, the Raft leader dies with the
/// session that held it, the other takes over. A process that has just started compiles code when it first runs, and what an election needs
/// would first run when every millisecond counts: some 250 methods on a new leader, as counted. After a rehearsal they are there. <para>It
/// needs one processor for a while (two seconds on a busy machine, most of it compiling), once in a process, and no disk. The links that
/// break are two loopback connections of the process with itself.</para>
/// </summary>
internal static class FailoverRehearsal
{
    private const string Path = "/rehearsal/election";

    // In ticks of 5 ms that nobody waits for: a cluster forms in some 60, an election takes as many at the worst.
    private const int MostRounds = 2_000;

    private static readonly TimeSpan TransportPatience = TimeSpan.FromSeconds(5);

    private static int _done;

    /// <summary>Rehearses, unless this process already did or compiles nothing at run time. Any thread.</summary>
    /// <returns>Whether leadership passed on; null where there was nothing to do.</returns>
    public static async Task<bool?> RunOnceAsync() =>
        RuntimeFeature.IsDynamicCodeCompiled && Interlocked.Exchange(ref _done, 1) == 0
            ? await TransportRehearsal.RunAsync(TransportPatience).ConfigureAwait(false) & Run()
            : null;

    /// <summary>Rehearses what happens above the network.</summary>
    /// <returns>Whether leadership passed on.</returns>
    public static bool Run()
    {
        var services = new Dictionary<INodeInbox, ZnodeService>();
        using var loggers = new DeferredLoggers(UnheardLogger.Instance);
        RehearsalEnsemble? ensemble = null;
        var scheduler = new Scheduler(() => ensemble!);
        ensemble = new RehearsalEnsemble(3, inbox => Parts(services, inbox, scheduler, loggers), loggers.CreateLogger("RaftKit.Node"));

        RehearsalMember? Leader() => ensemble.Members.FirstOrDefault(m => m.Loop.Status is { Role: RaftRole.Leader, Ready: true });
        if (!ensemble.RunUntil(() => Leader() is not null && ensemble.Members.All(m => m.Loop.Status.Ready), MostRounds))
            return false;

        var leader = Leader()!;
        var contenders = ensemble.Members.OrderBy(m => m != leader).ToArray();
        var waits = new List<Task<Leadership>>();
        foreach (var contender in contenders)
        {
            var election = new LeaderElection(services[contender].Sessions.Open(), Path);
            waits.Add(election.WaitForLeadershipAsync());
            var count = waits.Count;
            // One after the other, so that the leader's is the first in the queue.
            if (!ensemble.RunUntil(() => waits[0].IsCompleted && QueueLength(services[contender]) == count, MostRounds))
                return false;
        }

        ensemble.Kill(leader);
        return ensemble.RunUntil(() => waits[1].IsCompletedSuccessfully && Leader() is not null, MostRounds) && waits[1].Result.IsHeld;
    }

    private static RehearsalParts Parts(
        Dictionary<INodeInbox, ZnodeService> services, INodeInbox inbox, Scheduler scheduler, DeferredLoggers loggers)
    {
        var znodes = new ZnodeService(new ZnodeOptions(), scheduler, loggers.CreateLogger("RaftKit.Znodes"));
        znodes.Connect(inbox);
        services.Add(inbox, znodes);
        return new RehearsalParts([znodes.Machine], [znodes.Keeper]);
    }

    private static int QueueLength(ZnodeService znodes) => znodes.View.GetChildren(Path)?.Names.Count ?? 0;

    /// <summary>Everything runs on the thread of the rehearsal, and completes there: its state has no other owner.</summary>
    private sealed class Scheduler(Func<RehearsalEnsemble> ensemble) : IClientScheduler
    {
        public TaskCreationOptions Completion => TaskCreationOptions.None;

        public TimeSpan Monotonic => ensemble().Monotonic;

        public void Post(Action action) => ensemble().Post(action);
    }
}
