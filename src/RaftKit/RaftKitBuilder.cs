using System.Diagnostics.CodeAnalysis;
using Microsoft.Extensions.DependencyInjection;
using RaftKit.Hosting;
using RaftKit.Node.Loop;
using RaftKit.Recipes;

namespace RaftKit;

/// <summary>Adds to a cluster that was registered with <c>AddRaftKit</c>.</summary>
public sealed class RaftKitBuilder
{
    internal RaftKitBuilder(IServiceCollection services, string? key)
    {
        Services = services;
        Key = key;
    }

    /// <summary>The application's services.</summary>
    public IServiceCollection Services { get; }

    /// <summary>The cluster's key; null for the one without.</summary>
    public string? Key { get; }

    /// <summary>
    /// Replicates a state machine of your own beside the znodes, in the same log. Its commands and reads go through <see
    /// cref="IReplicated{TMachine}"/>, which is registered as a singleton (for a cluster with a key: under that key). Register the same
    /// machines, by the same names, on every member.
    /// </summary>
    /// <param name="create">
    /// Makes the machine, with the state that it begins with; null: by its constructor, from the application's services. Called once.
    /// </param>
    /// <typeparam name="TMachine">The machine; once for each cluster.</typeparam>
    /// <exception cref="InvalidOperationException">This cluster has a machine of this type already.</exception>
    public RaftKitBuilder AddStateMachine<[DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] TMachine>(
        Func<IServiceProvider, TMachine>? create = null)
        where TMachine : class, IStateMachine
    {
        if (Services.Any(s => s.ServiceType == typeof(IReplicated<TMachine>) && Equals(s.ServiceKey, Key)))
            throw new InvalidOperationException(
                $"{typeof(TMachine).Name} was added to this cluster before. A second copy of it needs a type of its own.");
        create ??= static sp => ActivatorUtilities.CreateInstance<TMachine>(sp);
        Services.AddSingleton(sp => new StateMachineRegistration<TMachine>(Key, create(sp)));
        Services.AddSingleton<IStateMachineRegistration>(sp =>
            sp.GetServices<StateMachineRegistration<TMachine>>().First(r => r.Key == Key));
        if (Key is { } key)
            Services.AddKeyedSingleton(key, (sp, _) => Replicated(sp.GetRequiredKeyedService<RaftKitHost>(key), sp));
        else
            Services.AddSingleton(sp => Replicated(sp.GetRequiredService<RaftKitHost>(), sp));
        return this;

        IReplicated<TMachine> Replicated(RaftKitHost host, IServiceProvider sp) => new Replicated<TMachine>(
            sp.GetServices<StateMachineRegistration<TMachine>>().First(r => r.Key == Key).Machine, host.Member.Inbox,
            TaskCreationOptions.RunContinuationsAsynchronously);
    }

    /// <summary>
    /// Registers the <see cref="LeaderElection"/> at a path as a singleton: without a key, and (to tell several apart) under its path as
    /// the key. A cluster with a key registers it under <c>{key}:{path}</c> only.
    /// </summary>
    /// <param name="path">The parent of the entries, such as <c>/elections/scheduler</c>; created when it is missing.</param>
    /// <param name="data">What others learn of this process when it leads.</param>
    public RaftKitBuilder AddLeaderElection(string path, ReadOnlyMemory<byte> data = default)
    {
        if (Key is { } key)
        {
            Services.AddKeyedSingleton($"{key}:{path}", (sp, _) => sp.GetRequiredKeyedService<ILeaderElections>(key).For(path, data));
            return this;
        }

        Services.AddKeyedSingleton(path, (sp, _) => sp.GetRequiredService<ILeaderElections>().For(path, data));
        Services.AddSingleton(sp => sp.GetRequiredService<ILeaderElections>().For(path, data));
        return this;
    }
}
