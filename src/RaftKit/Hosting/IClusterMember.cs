using RaftKit.Node.Levels;
using RaftKit.Node.Loop;
using RaftKit.Node.Members;
using RaftKit.Node.Proposals;
using RaftKit.Znodes;
using RaftKit.Znodes.Sessions;

namespace RaftKit.Hosting;

/// <summary>The member that this process embeds, as the host starts, stops and observes it.</summary>
internal interface IClusterMember : IAsyncDisposable
{
    /// <summary>Usable before the start: what is asked then waits.</summary>
    IZnodeSessions Sessions { get; }

    /// <summary>Where calls to its state machines go in; usable before the start, as the sessions are.</summary>
    INodeInbox Inbox { get; }

    /// <summary>Changes who forms the quorum.</summary>
    IQuorumMembership Membership { get; }

    /// <summary>Finalises feature levels.</summary>
    IFeatureLevels Levels { get; }

    /// <summary>What it knows of the quorum; null before it started.</summary>
    NodeStatus? Status { get; }

    /// <summary>What it has done; null before it started.</summary>
    NodeCounters? Counters { get; }

    /// <summary>What happened to sessions.</summary>
    SessionCounters SessionCounters { get; }

    /// <summary>Hears how long this member's proposals take; set before the start.</summary>
    IProposalMeter? ProposalMeter { set; }

    /// <summary>Completes with the cause when the node stopped by itself: its disk failed, or an invariant broke.</summary>
    Task<Exception> Failed { get; }

    /// <summary>Opens its directory and begins to listen. Does not wait for a quorum.</summary>
    Task StartAsync(CancellationToken cancellationToken);

    /// <summary>Closes the host's session, hands leadership over, flushes, says goodbye.</summary>
    Task StopAsync(CancellationToken cancellationToken);

    /// <summary>Completes when everything acknowledged before the call is applied here.</summary>
    Task ReadBarrierAsync(CancellationToken cancellationToken);
}
