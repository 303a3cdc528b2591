using RaftKit.Node.Loop;

namespace RaftKit.Hosting;

/// <summary>A state machine that the application added to a cluster.</summary>
internal interface IStateMachineRegistration
{
    /// <summary>The cluster's key; null for the one without.</summary>
    string? Key { get; }

    IStateMachine Machine { get; }
}

/// <summary>As its type, so that the machine and the door to it are found together.</summary>
internal sealed class StateMachineRegistration<TMachine>(string? key, TMachine machine) : IStateMachineRegistration
    where TMachine : class, IStateMachine
{
    public string? Key => key;

    public TMachine Machine => machine;

    IStateMachine IStateMachineRegistration.Machine => machine;
}
